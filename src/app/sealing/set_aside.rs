//! Files in the archive that have a name of ours and other bytes: a bad disk, or somebody, has put them there. They are
//! moved aside and named, never replaced and never believed.

use crate::app::exporter::Exporter;
use crate::app::fault::ExporterFault;
use crate::archive::ArchiveFault;
use std::path::{Path, PathBuf};

/// The alarm about them.
const HD_ASIDE: &str = "HD0703";

impl Exporter {
    /// Moves what lies at a path of the archive aside, and raises the alarm.
    pub(super) fn set_aside(&mut self, path: &str) -> Result<Option<PathBuf>, ExporterFault> {
        let aside = self.archive.set_aside(path)?;
        if let Some(aside) = &aside {
            tracing::error!(file = path, aside = %aside.display(), "a file of the archive was set aside");
            self.tell_of_set_aside()?;
        }
        Ok(aside)
    }

    /// The alarm stands at every start until a person has looked at the files and taken them away.
    pub(in crate::app) fn tell_of_set_aside(&mut self) -> Result<(), ExporterFault> {
        let dir = self.archive.aside();
        let fault = |source| ArchiveFault::Disk { operation: "list", path: dir.clone(), source };
        let has_any = self.disk.stat(&dir).map_err(fault)?.is_some();
        let entries = if has_any { self.disk.list(&dir).map_err(fault)? } else { Vec::new() };
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names: Vec<String> = entries.iter().filter_map(|entry| name(&entry.path)).collect();
        let alarm = names.first().map(|first| {
            let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
            let message = format!("{first}{more} lay in the archive under a name of ours with other bytes");
            let hint = format!("look at what lies in {} and take it away; the next start clears this", dir.display());
            (HD_ASIDE, message, hint)
        });
        self.set_alarms("archive", &Vec::from_iter(alarm))
    }
}
