//! Where runs take place: the configuration, and the real directory that the ledger and the lock lie in.

use crate::site::{load, project};
use hourdrop::app::config::Config;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory for one run after the other. It lies in memory where the machine has a place for that.
pub struct Place {
    dir: tempfile::TempDir,
    beside: Config,
    elsewhere: Config,
}

/// Where uploads lie until they are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporary {
    /// Beside the final names.
    Beside,
    /// In a directory of their own.
    Elsewhere,
}

/// Late input is read before this, and after every record's time.
const NOW: &str = "2024-11-03T08:00:00Z";

impl Place {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let mut named = tempfile::Builder::new();
        named.prefix("hourdrop-sim-");
        let dir = named.tempdir_in(memory).or_else(|_| named.tempdir()).expect("temporary directory");
        fs::create_dir_all(dir.path().join("formats")).expect("directory");
        for name in ["kamailio-acc-cdrs.toml", "huaxin-voice.toml"] {
            fs::copy(project().join("formats").join(name), dir.path().join("formats").join(name)).expect("copy");
        }
        let beside = configured(dir.path(), "");
        let elsewhere = configured(dir.path(), "temporary_dir = \"parts\"");
        Self { dir, beside, elsewhere }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub fn config(&self, temporary: Temporary) -> Config {
        match temporary {
            Temporary::Beside => self.beside.clone(),
            Temporary::Elsewhere => self.elsewhere.clone(),
        }
    }
}

fn configured(root: &Path, temporary: &str) -> Config {
    let text = format!(
        r#"
state   = "state"
archive = {{ dir = "archive", keep = "forever" }}
once_deliver_for = "0s"
[source.switch]
files    = "in"
finished = "renamed"
then     = "move:done"
format   = "kamailio-acc-cdrs"
[partner.huaxin]
deliver = "{}/drop"
{temporary}
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
records_max = 2
name      = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
manifest  = {{ name = "HX_{{start:%Y%m%d%H}}_{{revision:02}}_{{seq:05}}.json" }}
[partner.huaxin.feed.halves]
source    = "switch"
format    = "huaxin-voice"
period    = "30m"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
name      = "MR_{{start:%Y%m%d%H%M}}_{{seq:05}}.dat"
manifest  = false
"#,
        root.display()
    );
    let path = root.join("hourdrop.toml");
    fs::write(&path, text).expect("configuration");
    load(&path, NOW)
}
