//! Killed at any moment and started again, the program ends with the drop directory of an undisturbed run.

use crate::site::{Site, files_in, kamailio_dir};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NOW: &str = "2026-11-21T08:00:00Z";
const KILLS: u64 = 50;

fn configured(site: &Site) -> std::path::PathBuf {
    let text = format!(
        r#"
state   = "state"
archive = "archive"

[source.switch]
files    = "{input}/A_acc_cdrs_*.log"
finished = "renamed"
then     = "move:done"
format   = "kamailio-acc-cdrs"

[partner.huaxin]
deliver = "{huaxin}"
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
zone      = "Asia/Shanghai"
hour_by   = "start_time"
starts_at = "2024-11-03T10:00:00+08:00"
name      = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
records_max = 100
manifest  = {{ format = "huaxin-summary", name = "HX_{{start:%Y%m%d%H}}_{{revision:02}}.sum" }}

[partner.meridian]
deliver = "{meridian}"
[partner.meridian.feed.calls]
source    = "switch"
format    = "meridian-fixed"
period    = "30m"
zone      = "America/New_York"
hour_by   = "end_time"
starts_at = "2024-11-02T22:00:00-04:00"
name      = "MER{{start:%Y%m%d%H%M%z}}_{{seq:07}}.txt"
"#,
        input = site.path("in").display(),
        huaxin = site.drop_dir("huaxin").display(),
        meridian = site.drop_dir("meridian").display(),
    );
    for (name, bytes) in files_in(Path::new(&kamailio_dir())) {
        site.write(&format!("in/{name}"), bytes);
    }
    site.configure(&text)
}

fn start(config: &Path) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["once", "--config"])
        .arg(config)
        .env("HOURDROP_TEST_CLOCK", NOW)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn finish(config: &Path) {
    let output = start(config).wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn killed_at_fifty_random_moments_it_ends_as_if_undisturbed() {
    let undisturbed = Site::new();
    let config = configured(&undisturbed);
    let begun = Instant::now();
    finish(&config);
    let whole = begun.elapsed();
    let expected = undisturbed.everything_dropped();
    assert!(expected.len() > 50);

    // Each site is killed again and again until its pass comes through, so a kill can hit a recovery, too.
    let seed = 20_261_121;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kills, mut sites) = (0, 0);
    while kills < KILLS {
        let site = Site::new();
        let config = configured(&site);
        sites += 1;
        for _ in 0..4 {
            let mut process = start(&config);
            let moment = Duration::from_micros(random.u64(0..u64::try_from(whole.as_micros()).expect("short")));
            std::thread::sleep(moment);
            if process.try_wait().expect("status").is_none() {
                process.kill().expect("kill");
                kills += 1;
            }
            process.wait().expect("the end");
        }
        finish(&config);
        let found = site.everything_dropped();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "seed {seed}, site {sites}");
        assert!(found == expected, "other bytes after kills: seed {seed}, site {sites}");
        site.assert_archive_is_what_was_dropped(&["huaxin", "meridian"]);
        finish(&config);
        assert!(site.everything_dropped() == expected, "a further pass adds nothing");
    }
}
