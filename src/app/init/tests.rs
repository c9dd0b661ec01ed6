use super::*;
use crate::app::config::load;
use crate::disk::RealDisk;
use crate::document::Severity;

fn now() -> UtcTime {
    UtcTime::from_seconds(1_750_000_000).expect("range")
}

/// Writes a draft and loads it: there must be no error.
fn written(draft: &Draft) -> crate::app::config::Config {
    let dir = tempfile::tempdir().expect("directory");
    write(&RealDisk, dir.path(), draft).expect("written");
    let loaded = load(&dir.path().join("hourdrop.toml"), now()).expect("configuration");
    let errors: Vec<_> = loaded.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    loaded.config.expect("configuration")
}

#[test]
fn the_example_is_a_good_configuration() {
    let draft = draft(None, None).expect("draft");
    let names: Vec<String> = draft.files.iter().map(|(name, _)| name.display().to_string()).collect();
    assert_eq!(names, ["hourdrop.toml", "formats/calls.toml", "formats/calls-out.toml"]);
    assert_eq!(written(&draft).feeds().count(), 1);
}

#[test]
fn a_sample_gives_fields_beginning_and_name() {
    let sample =
        "id;answer time;start time;caller\n1;;2024-11-03 02:12:29;a\n2;2024-11-03 03:00:00;2024-11-03 01:59:59;b\n";
    let path = "/data/2024 CDR [x].csv";
    let draft = draft(None, Some(Sample { path, bytes: sample.as_bytes() })).expect("draft");
    assert_eq!((draft.name.as_str(), draft.decoded), ("2024_cdr__x", Some((2, 0))));
    let config = written(&draft);
    let feed = config.feeds().next().expect("feed");
    assert_eq!(feed.hour_by.value, "start_time", "the first time field that every record has");
    assert_eq!(feed.starts_at.map(UtcTime::seconds), Some(1_730_595_600), "2024-11-03T01:00:00Z");
    let crate::app::config::SourceKind::Files(rules) = &config.sources[0].kind else { panic!("files") };
    assert!(glob::Pattern::new(&rules.path.display().to_string()).expect("pattern").matches(path), "{rules:?}");
}

#[test]
fn a_sample_without_times_is_refused() {
    let sample = Sample { path: "x.csv", bytes: b"a,b\nx,y\nz,w\n" };
    let refused = draft(None, Some(sample)).expect_err("no time");
    assert!(refused.to_string().contains("no column of the sample holds times"), "{refused}");
    assert!(draft(Some("No Name"), Some(sample)).is_err());
}

#[test]
fn lines_that_are_no_records_raise_the_limit_of_rejects() {
    // The format is guessed from the beginning; what is wrong stands behind it.
    let mut sample = "at,n\n".to_owned() + &"2024-11-03T02:12:00Z,5\n".repeat(4900);
    sample.push_str(&"yesterday,5\n".repeat(100));
    let draft = draft(Some("calls"), Some(Sample { path: "x.csv", bytes: sample.as_bytes() })).expect("draft");
    assert_eq!(draft.decoded, Some((4900, 100)));
    assert_eq!(written(&draft).feeds().next().map(|feed| feed.reject_max), Some(300));
}

#[test]
fn nothing_is_replaced_and_nothing_half_done() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::create_dir(dir.path().join("formats")).expect("directory");
    std::fs::File::create(dir.path().join("formats/calls.toml")).expect("file");
    let draft = draft(None, None).expect("draft");
    let refused = write(&RealDisk, dir.path(), &draft).expect_err("exists");
    assert!(matches!(refused, InitFault::Exists(paths) if paths == [dir.path().join("formats/calls.toml")]));
    assert!(!dir.path().join("hourdrop.toml").exists());
    assert!(!dir.path().join("drop").exists());
}
