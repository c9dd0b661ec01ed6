//! Files as a source: one file, a pattern, or a directory that is watched.
//!
//! A file is read when it is finished, as declared; a log that grows is read as far as it goes and is followed by
//! device and inode through rotation. A file that was read is known by name, length and hash. The input is touched
//! (moved, removed) only when its records are durable.
//!
//! Files are read in the order of their names. What is visible but cannot be read yet (not finished, a gap in the
//! file numbers, an unfit file) keeps [`Source::caught_up_to`] before the moment at which it appeared.

mod current;
mod follow;
mod keeping;
mod known;
mod order;
pub mod rules;
mod then;

use super::ahead::Reading;
use super::input::{InputFormat, OpenInput};
use super::{InputHistory, IntakeFault, KnownInput, ReadPosition, Source, Step};
use crate::disk::once::ReadOnce;
use crate::disk::{Disk, Entry, Kind, Stat, parent};
use crate::domain::ids::SourceId;
use crate::domain::time::UtcTime;
use crate::format::decode::spec::ReadSpec;
use crate::format::dialect::Dialect;
use current::{Current, State};
use follow::FollowedLogs;
pub use keeping::Adoption;
use keeping::Keeping;
use known::Known;
use order::NumberedNames;
pub use rules::{FileRules, FinishedRule, KnownContent, NumberPattern, ThenRule};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files as a source.
pub struct FileSource {
    id: SourceId,
    rules: FileRules,
    dialect: Dialect,
    read: Arc<ReadSpec>,
    queue: VecDeque<Entry>,
    current: Option<Current>,
    /// Files that were read and stay where they are: length and time of change.
    done: HashMap<String, (u64, i64)>,
    /// Finished files whose records are not known to be durable yet.
    unsettled: Vec<PathBuf>,
    /// Inputs that were read to their end and are not known to be in the ledger yet.
    unrecorded: Vec<KnownInput>,
    /// Files that cannot be read, why, and since when they are visible.
    blocked: BTreeMap<String, Blocked>,
    numbers: Option<NumberedNames>,
    /// Logs that grow.
    logs: FollowedLogs,
    /// Logs that were read as far as they go.
    open_logs: HashMap<String, OpenInput>,
    looked_at: UtcTime,
    /// Since when anything is visible that is not read.
    unread_since: Option<UtcTime>,
    /// Large files are decoded by a thread of their own.
    reads_ahead: bool,
    adoption: Option<Adoption>,
}

struct Blocked {
    code: &'static str,
    message: String,
    hint: String,
    stat: Stat,
}

/// Files from this size on are worth a thread.
const AHEAD_FROM_BYTES: u64 = 4 << 20;

/// Why a file is looked at again only when it changes.
const HD_UNFIT: &str = "HD0401";
const HD_KNOWN_CONTENT: &str = "HD0402";
const HD_CHANGED: &str = "HD0403";
const HD_TRAILER: &str = "HD0404";
const HD_UNREADABLE: &str = "HD0405";
const HD_GAP: &str = "HD0410";

impl FileSource {
    /// A source that reads files of the given format.
    #[must_use]
    pub fn new(id: SourceId, rules: FileRules, dialect: Dialect, read: Arc<ReadSpec>) -> Self {
        let numbers = rules.numbered.clone().map(NumberedNames::new);
        Self {
            id,
            rules,
            dialect,
            read,
            queue: VecDeque::new(),
            current: None,
            done: HashMap::new(),
            unsettled: Vec::new(),
            unrecorded: Vec::new(),
            blocked: BTreeMap::new(),
            numbers,
            logs: FollowedLogs::default(),
            open_logs: HashMap::new(),
            looked_at: UtcTime::MIN,
            unread_since: Some(UtcTime::MIN),
            reads_ahead: false,
            adoption: None,
        }
    }

    /// Decodes large files in a thread of their own.
    #[must_use]
    pub const fn reading_ahead(mut self, reads_ahead: bool) -> Self {
        self.reads_ahead = reads_ahead;
        self
    }

    /// Lets the journal keep finished files.
    #[must_use]
    pub fn adopting(mut self, adoption: Adoption) -> Self {
        self.adoption = Some(adoption);
        self
    }

    fn fault(&self, operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IntakeFault + use<> {
        let (source_id, path) = (self.id.clone(), path.to_owned());
        move |cause| IntakeFault::Io { source_id, operation, path, cause }
    }

    fn history_fault(&self) -> impl FnOnce(String) -> IntakeFault + use<> {
        let source_id = self.id.clone();
        move |message| IntakeFault::History { source_id, message }
    }

    /// All regular files that the rules name, sorted by name.
    fn candidates(&self, disk: &dyn Disk) -> Result<Vec<Entry>, IntakeFault> {
        let path = &self.rules.path;
        let stat = disk.stat(path).map_err(self.fault("look at", path))?;
        let is_dir = stat.is_some_and(|stat| stat.kind == Kind::Directory);
        let (dir, pattern) = if is_dir { (path.as_path(), None) } else { (parent(path), name_of(path)) };
        let pattern = pattern.map(|name| glob::Pattern::new(&name).unwrap_or_default());
        let entries = disk.list(dir).map_err(self.fault("list", dir))?;
        let markers = match &self.rules.finished {
            FinishedRule::Marker(marker) => glob::Pattern::new(marker).ok(),
            FinishedRule::Renamed | FinishedRule::Quiet(_) | FinishedRule::Append => None,
        };
        let wanted = |entry: &Entry| {
            let name = name_of(&entry.path)?;
            let matches = pattern.as_ref().is_none_or(|pattern| pattern.matches(&name));
            let is_marker = markers.as_ref().is_some_and(|marker| marker.matches(&name));
            let is_named = matches && !is_marker && !name.starts_with('.');
            (entry.stat.kind == Kind::File && (is_named || self.logs.is_followed(entry))).then_some(())
        };
        Ok(entries.into_iter().filter(|entry| wanted(entry).is_some()).collect())
    }

    /// A directory that is not there is not an empty one. What is not there may also be a single file that was put
    /// away: then the file read last had its name.
    fn check_place(&self, disk: &dyn Disk, history: &dyn InputHistory) -> Result<(), IntakeFault> {
        let path = &self.rules.path;
        let name = name_of(path).unwrap_or_default();
        let is_pattern = glob::Pattern::escape(&name) != name;
        if self.is_log() || is_pattern || disk.stat(path).map_err(self.fault("look at", path))?.is_some() {
            return Ok(());
        }
        let latest = history.latest_names(&self.id, 1).map_err(self.history_fault())?;
        if latest.first() == Some(&name) {
            return Ok(());
        }
        Err(self.fault("look at", path)(io::ErrorKind::NotFound.into()))
    }

    fn is_finished(&self, disk: &dyn Disk, entry: &Entry, now: UtcTime) -> Result<bool, IntakeFault> {
        match &self.rules.finished {
            FinishedRule::Renamed | FinishedRule::Append => Ok(true),
            FinishedRule::Quiet(length) => Ok(UtcTime::from_nanos(entry.stat.modified_nanos) <= now.before(*length)),
            FinishedRule::Marker(_) => {
                let marker = self.marker_of(&entry.path);
                Ok(disk.stat(&marker).map_err(self.fault("look at", &marker))?.is_some())
            }
        }
    }

    /// What was read in part before a crash is read to its end before anything else: a copy of it under another name
    /// must find it finished.
    fn unfinished_first(&mut self, history: &dyn InputHistory) -> Result<(), IntakeFault> {
        if self.is_log() || self.queue.len() < 2 {
            return Ok(());
        }
        let unfinished = history.unfinished(&self.id).map_err(self.history_fault())?;
        let is_unfinished = |entry: &Entry| name_of(&entry.path).is_some_and(|name| unfinished.contains(&name));
        let (first, later): (VecDeque<_>, VecDeque<_>) = self.queue.drain(..).partition(is_unfinished);
        self.queue.extend(first.into_iter().chain(later));
        Ok(())
    }

    fn marker_of(&self, path: &Path) -> PathBuf {
        match &self.rules.finished {
            FinishedRule::Marker(pattern) => {
                path.with_file_name(pattern.replace('*', &name_of(path).unwrap_or_default()))
            }
            FinishedRule::Renamed | FinishedRule::Quiet(_) | FinishedRule::Append => path.to_owned(),
        }
    }

    fn is_log(&self) -> bool {
        self.rules.finished == FinishedRule::Append
    }

    /// The name under which an input is known: a log that grows is followed by device and inode.
    fn input_name(&mut self, entry: &Entry) -> String {
        if self.is_log() && self.logs.finished_as(entry).is_none() {
            return self.logs.name(entry);
        }
        let finished = self.logs.finished_as(entry).map(str::to_owned);
        finished.or_else(|| name_of(&entry.path)).unwrap_or_default()
    }

    fn learn_logs(&mut self, history: &dyn InputHistory) -> Result<(), IntakeFault> {
        /// How far back finished logs are remembered after a restart.
        const LOOK_BACK: u32 = 10_000;
        if self.is_log() && !self.logs.has_learned() {
            let unfinished = history.unfinished(&self.id).map_err(self.history_fault())?;
            let mut finished = history.latest_names(&self.id, LOOK_BACK).map_err(self.history_fault())?;
            finished.reverse();
            self.logs.learn(unfinished, finished);
        }
        Ok(())
    }

    /// Decides what to do with a finished file that is not in [`FileSource::done`].
    fn begin(&mut self, disk: &dyn Disk, history: &dyn InputHistory, entry: Entry) -> Result<(), IntakeFault> {
        let append = self.is_log();
        if let Some(name) = self.known_log(disk, history, &entry)? {
            self.done.insert(name, (entry.stat.bytes, entry.stat.modified_nanos));
            return Ok(());
        }
        let name = self.input_name(&entry);
        let mut duplicate = false;
        if !append {
            match self.known(disk, history, &entry, &name)? {
                Known::New => {}
                Known::Same => {
                    self.unsettled.push(entry.path.clone());
                    self.done.insert(name, (entry.stat.bytes, entry.stat.modified_nanos));
                    return Ok(());
                }
                Known::Other(policy, code, message, hint) => match policy {
                    KnownContent::Hold => {
                        self.blocked.insert(name, Blocked { code, message, hint, stat: entry.stat });
                        return Ok(());
                    }
                    KnownContent::Skip => duplicate = true,
                    KnownContent::Read => {}
                },
            }
        }
        let resume = history.position(&self.id, &name).map_err(self.history_fault())?;
        let nothing_new = resume.is_some_and(|resume| resume.after.byte == entry.stat.bytes);
        if append && nothing_new && !self.logs.is_over(&name) {
            return Ok(());
        }
        // A log that is open already goes on where it is; one that was cut is looked at from its beginning.
        let was_cut = resume.is_some_and(|resume| resume.after.byte > entry.stat.bytes);
        if let Some(input) = self.open_logs.remove(&name).filter(|_| !was_cut) {
            let state = State::Reading(Reading::Here(Box::new(input)));
            self.current = Some(Current { entry, state, duplicate, keeping: Keeping::No });
            return Ok(());
        }
        let may_keep = !append && !duplicate;
        match self.open(disk, &entry, &name, may_keep, resume) {
            Ok((reading, keeping)) => {
                self.current = Some(Current { entry, state: State::Reading(reading), duplicate, keeping });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let message = format!("{name} was changed or cut after a part of it was read: {error}");
                let hint = "nothing more is read from it; give the source the file as it was".to_owned();
                self.blocked.insert(name, Blocked { code: HD_CHANGED, message, hint, stat: entry.stat });
            }
            Err(error) => {
                let message = format!("{name} cannot be read: {error}");
                let hint = "it is tried again when it changes".to_owned();
                self.blocked.insert(name, Blocked { code: HD_UNREADABLE, message, hint, stat: entry.stat });
            }
        }
        Ok(())
    }

    /// Begins to read a file behind what was read of it before.
    fn open(
        &self,
        disk: &dyn Disk,
        entry: &Entry,
        name: &str,
        may_keep: bool,
        resume: Option<ReadPosition>,
    ) -> io::Result<(Reading, Keeping)> {
        let mut reader = disk.open_read(&entry.path)?;
        let wanted = if may_keep { self.worth_keeping(entry, reader.as_mut())? } else { None };
        let format = InputFormat { source: &self.id, name, dialect: &self.dialect, read: &self.read };
        // What the journal keeps is read again after a crash alone.
        let reader: Box<dyn Read + Send> =
            if wanted.is_some() { Box::new(ReadOnce::new(reader)) } else { Box::new(reader) };
        let mut input = OpenInput::open(&format, reader, resume)?;
        let mut keeping = Keeping::No;
        if let (Some(file), Some(adoption)) = (wanted, &self.adoption) {
            input = input.kept_as(file, Arc::clone(&adoption.reading));
            keeping = Keeping::Wanted;
        }
        let is_large = self.reads_ahead && !self.is_log() && entry.stat.bytes >= AHEAD_FROM_BYTES;
        let reading = if is_large { Reading::ahead(input, self.id.clone())? } else { Reading::Here(Box::new(input)) };
        Ok((reading, keeping))
    }

    /// Keeps a log open, so that the next look reads what was added and not all of it again.
    fn keep_open(&mut self, input: OpenInput) {
        /// A source of more logs than this opens some of them anew at every look.
        const OPEN_MAX: usize = 64;
        if self.open_logs.len() < OPEN_MAX {
            self.open_logs.insert(input.name().to_owned(), input);
        }
    }

    fn block(&mut self, entry: &Entry, code: &'static str, what: &str) {
        let name = self.input_name(entry);
        let message = format!("{name} {what}");
        let hint = "correct the file or the source's format; it is tried again when it changes".to_owned();
        self.blocked.insert(name, Blocked { code, message, hint, stat: entry.stat });
    }

    /// Blocks a file that counted as finished and has another length than when it was found.
    fn has_changed(&mut self, disk: &dyn Disk, entry: &Entry) -> Result<bool, IntakeFault> {
        let stat = disk.stat(&entry.path).map_err(self.fault("look at", &entry.path))?.unwrap_or(entry.stat);
        let changed = stat.bytes != entry.stat.bytes;
        if changed {
            self.block(entry, HD_CHANGED, "grew while it was read, although it counted as finished");
        }
        Ok(changed)
    }
}

impl Source for FileSource {
    fn id(&self) -> &SourceId {
        &self.id
    }

    fn look(&mut self, disk: &dyn Disk, history: &dyn InputHistory, now: UtcTime) -> Result<(), IntakeFault> {
        if self.current.is_some() || !self.queue.is_empty() {
            return Ok(());
        }
        self.unread_since = Some(UtcTime::MIN);
        if let Some(numbers) = &mut self.numbers {
            numbers
                .learn(|limit| history.latest_names(&self.id, limit))
                .map_err(|message| IntakeFault::History { source_id: self.id.clone(), message })?;
        }
        self.learn_logs(history)?;
        self.check_place(disk, history)?;
        let candidates = self.candidates(disk)?;
        self.logs.look(&candidates);
        let names: Vec<String> = candidates.iter().map(|entry| self.input_name(entry)).collect();
        self.done.retain(|name, _| names.contains(name));
        self.blocked.retain(|name, blocked| {
            let seen = names.iter().zip(&candidates).find(|(known, _)| *known == name);
            seen.is_some_and(|(_, entry)| entry.stat == blocked.stat)
        });
        let mut unread = None;
        for (entry, name) in candidates.into_iter().zip(names) {
            let identity = (entry.stat.bytes, entry.stat.modified_nanos);
            if self.done.get(&name) == Some(&identity) || self.blocked.contains_key(&name) {
                continue;
            }
            if self.is_finished(disk, &entry, now)? {
                self.queue.push_back(entry);
            } else {
                let since = visible_since(&entry.stat, now);
                unread = Some(unread.map_or(since, |earlier: UtcTime| earlier.min(since)));
            }
        }
        self.unread_since = unread;
        self.looked_at = now;
        self.unfinished_first(history)
    }

    fn step(&mut self, disk: &dyn Disk, history: &dyn InputHistory, now: UtcTime) -> Result<Step, IntakeFault> {
        loop {
            if let Some(step) = self.read_current(disk, now)? {
                return Ok(step);
            }
            let Some(entry) = self.queue.pop_front() else { return Ok(Step::Idle) };
            self.begin(disk, history, entry)?;
        }
    }

    fn settle(&mut self, disk: &dyn Disk) -> Result<(), IntakeFault> {
        self.unrecorded.clear();
        while let Some(path) = self.unsettled.last().cloned() {
            let marker = self.marker_of(&path);
            then::apply(disk, &self.rules.then, &path, &marker).map_err(self.fault("put away", &path))?;
            self.unsettled.pop();
        }
        Ok(())
    }

    fn caught_up_to(&self) -> UtcTime {
        if self.current.is_some() || !self.queue.is_empty() {
            return UtcTime::MIN;
        }
        let blocked = self.blocked.values().map(|blocked| visible_since(&blocked.stat, self.looked_at)).min();
        let gap = self.numbers.as_ref().and_then(NumberedNames::gap).map(|_| UtcTime::MIN);
        let earliest = [self.unread_since, blocked, gap].into_iter().flatten().min();
        earliest
            .map_or(self.looked_at, |since| self.looked_at.min(UtcTime::from_nanos(since.nanos().saturating_sub(1))))
    }

    fn alarms(&self) -> Vec<(&'static str, String, String)> {
        let gap = self.numbers.as_ref().and_then(NumberedNames::gap).map(|gap| {
            let message = format!("file numbers {gap} never arrived; no hour of this source will seal");
            (HD_GAP, message, "ask the sender for these files".to_owned())
        });
        let blocked =
            self.blocked.values().map(|blocked| (blocked.code, blocked.message.clone(), blocked.hint.clone()));
        gap.into_iter().chain(blocked).collect()
    }

    fn unread_bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.entry.stat.bytes);
        current + self.queue.iter().map(|entry| entry.stat.bytes).sum::<u64>()
    }
}

/// Since when a file may have been visible; for ever where the file system does not know, or knows a time to come.
fn visible_since(stat: &Stat, now: UtcTime) -> UtcTime {
    stat.created_nanos.map(UtcTime::from_nanos).filter(|created| *created <= now).unwrap_or(UtcTime::MIN)
}

fn name_of(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}
