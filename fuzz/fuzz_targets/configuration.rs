//! The configuration file, with the project's formats beside it.
#![no_main]

use hourdrop::app::config;
use hourdrop::domain::time::UtcTime;
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;
use std::fs;

thread_local! {
    static PLACE: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

fuzz_target!(|text: &str| {
    PLACE.with(|place| {
        let dir = place.get_or_init(|| {
            let dir = hourdrop_fuzz::place();
            fs::create_dir(dir.path().join("formats")).expect("directory");
            for entry in fs::read_dir(hourdrop_fuzz::formats()).expect("formats") {
                let path = entry.expect("entry").path();
                fs::copy(&path, dir.path().join("formats").join(path.file_name().expect("name"))).expect("copy");
            }
            dir
        });
        let path = dir.path().join("hourdrop.toml");
        fs::write(&path, text).expect("write");
        let now = UtcTime::from_seconds(1_795_000_000).expect("a time");
        let loaded = config::load(&path, now).expect("a file that is there");
        for problem in &loaded.problems {
            assert!(problem.line() >= 1 && !problem.message.is_empty());
        }
        assert!(loaded.config.is_some() || !loaded.problems.is_empty(), "refused without a reason");
    });
});
