//! Orders that come while an instance works. Only the instance that holds the lock may write, so others leave a request
//! for it:
//!
//! ```text
//! state/requests/<time>-<random>.json        published durably by the command
//! state/requests/done/<time>-<random>.json   what it is told
//! ```
//! `run` carries out what lies there at each turn, `once` at its beginning and end, oldest first. The ledger keeps the
//! name of each request with what it has changed, in one transaction: after a crash between the act and the answer,
//! the answer is given again and the act is not.

mod codec;

use super::exporter::Exporter;
use super::fault::ExporterFault;
use super::operator::{Asked, Done, Refusal};
use crate::disk::{Disk, SyncPoint};
use crate::domain::time::{Length, UtcTime};
pub use codec::Request;
use codec::{read_answer, write_answer};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Answers that nobody fetched are kept so long.
const ANSWERS_KEPT: Length = Length::from_seconds(7 * 86_400);

/// Where requests lie.
#[must_use]
pub fn directory(state: &Path) -> PathBuf {
    state.join("requests")
}

fn answers(state: &Path) -> PathBuf {
    directory(state).join("done")
}

fn fault(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExporterFault + use<> {
    let path = path.to_owned();
    move |source| ExporterFault::Request { operation, path, source }
}

/// Leaves a request for the instance that works and returns its name.
///
/// # Errors
/// [`ExporterFault::Request`]; nobody will see it then.
pub fn leave(disk: &dyn Disk, state: &Path, request: &Request, now: UtcTime) -> Result<String, ExporterFault> {
    let dir = directory(state);
    disk.create_dir_all(&dir, SyncPoint::StateFile).map_err(fault("create", &dir))?;
    let name = format!("{:020}-{:08x}", now.nanos().max(0), fastrand::u32(..));
    publish(disk, &dir.join(format!("{name}.json")), &request.write())?;
    Ok(name)
}

/// What a request was told, when it was executed.
///
/// # Errors
/// [`ExporterFault::Request`] when the answer cannot be read.
pub fn answer(disk: &dyn Disk, state: &Path, name: &str) -> Result<Option<Result<Done, Refusal>>, ExporterFault> {
    let path = answers(state).join(format!("{name}.json"));
    if disk.stat(&path).map_err(fault("look at", &path))?.is_none() {
        return Ok(None);
    }
    let text = read(disk, &path)?;
    read_answer(&text).map(Some).ok_or_else(|| fault("understand", &path)(io::ErrorKind::InvalidData.into()))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<String, ExporterFault> {
    let mut bytes = Vec::new();
    let mut file = disk.open_read(path).map_err(fault("open", path))?;
    file.read_to_end(&mut bytes).map_err(fault("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Gives a text a name, durably; what has the name already stays.
fn publish(disk: &dyn Disk, path: &Path, text: &str) -> Result<(), ExporterFault> {
    if disk.stat(path).map_err(fault("look at", path))?.is_some() {
        return Ok(());
    }
    let staged = path.with_extension("new");
    remove(disk, &staged)?;
    let mut file = disk.create_new(&staged).map_err(fault("create", &staged))?;
    file.write_all(text.as_bytes()).map_err(fault("write", &staged))?;
    file.sync(SyncPoint::StateFile).map_err(fault("sync", &staged))?;
    disk.publish(&staged, path, SyncPoint::StateFile).map_err(fault("publish", path))
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), ExporterFault> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(fault("remove", path)),
    }
}

/// The requests of a directory, oldest first: their names.
fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, ExporterFault> {
    if disk.stat(dir).map_err(fault("look at", dir))?.is_none() {
        return Ok(Vec::new());
    }
    let entries = disk.list(dir).map_err(fault("list", dir))?;
    let name = |path: &Path| Some(path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned());
    Ok(entries.iter().filter_map(|entry| name(&entry.path)).collect())
}

impl Exporter {
    /// Carries out what was requested, each request once, and answers.
    ///
    /// # Errors
    /// [`ExporterFault`] when the ledger, the spool or the directory of requests fails. A request that cannot be
    /// understood or done is answered so.
    pub fn execute_requests(&mut self) -> Result<(), ExporterFault> {
        let disk = std::sync::Arc::clone(&self.disk);
        let state = self.config.state.clone();
        let dir = directory(&state);
        let names = names(disk.as_ref(), &dir)?;
        if !names.is_empty() {
            // An order counts for every record that was accepted before it.
            self.commit_group()?;
            self.tell_partners = true;
        }
        for name in &names {
            let (path, answer) = (dir.join(format!("{name}.json")), answers(&state).join(format!("{name}.json")));
            let known = self.ledger.lock().request_outcome(name)?;
            let answered = disk.stat(&answer).map_err(fault("look at", &answer))?.is_some();
            let told = match known {
                Some(told) => told,
                // It was refused, and who asked may know that already.
                None if answered => String::new(),
                None => self.execute(name, &read(disk.as_ref(), &path)?)?,
            };
            self.reply(name, &path, &told)?;
        }
        if names.is_empty() { Ok(()) } else { self.forget_answers() }
    }

    fn execute(&mut self, name: &str, text: &str) -> Result<String, ExporterFault> {
        let Some(request) = Request::read(text) else {
            let refusal =
                Refusal { what: "the request cannot be understood".to_owned(), advice: "give it again".to_owned() };
            return Ok(write_answer(&Err(refusal)));
        };
        let tell = |done: &Done| write_answer(&Ok(done.clone()));
        let done = self.order(&request.order, &request.reason, Some(Asked { id: name, tell }))?;
        Ok(write_answer(&done))
    }

    /// The answer is there before the request goes: who asked sees one of the two at any moment.
    fn reply(&self, name: &str, request: &Path, told: &str) -> Result<(), ExporterFault> {
        let (disk, done) = (self.disk.as_ref(), answers(&self.config.state));
        disk.create_dir_all(&done, SyncPoint::StateFile).map_err(fault("create", &done))?;
        publish(disk, &done.join(format!("{name}.json")), told)?;
        remove(disk, request)?;
        let dir = directory(&self.config.state);
        disk.sync_dir(&dir, SyncPoint::StateFile).map_err(fault("sync", &dir))
    }

    /// Removes answers that nobody will ask for any more.
    fn forget_answers(&self) -> Result<(), ExporterFault> {
        let (disk, done) = (self.disk.as_ref(), answers(&self.config.state));
        let limit = format!("{:020}", self.clock.now().before(ANSWERS_KEPT).nanos().max(0));
        for name in names(disk, &done)?.into_iter().filter(|name| *name < limit) {
            remove(disk, &done.join(format!("{name}.json")))?;
        }
        Ok(())
    }
}
