//! Lines of directory listings.

use super::super::{EntryKind, RemoteEntry};
use crate::domain::time::UtcTime;
use suppaftp::list::ListParser;

fn is_self_or_parent(name: &str) -> bool {
    name.is_empty() || name == "." || name == ".."
}

/// An entry of NLST: a bare name. Some servers put the directory in front.
#[must_use]
pub fn name_entry(line: &str) -> Option<RemoteEntry> {
    let name = line.rsplit('/').next().unwrap_or(line);
    (!is_self_or_parent(name)).then(|| RemoteEntry {
        name: name.to_owned(),
        kind: EntryKind::Unknown,
        bytes: None,
        modified: None,
        unique: None,
    })
}

/// An entry of MLSD, RFC 3659, 7.2: `fact=value;fact=value; name`. `None` for the directory itself and its parent.
#[must_use]
pub fn mlsd_entry(line: &str) -> Option<RemoteEntry> {
    let (facts, name) = line.split_once(' ')?;
    let mut entry = name_entry(name)?;
    for (fact, value) in facts.split(';').filter_map(|fact| fact.split_once('=')) {
        match fact.to_ascii_lowercase().as_str() {
            "type" => match value.to_ascii_lowercase().as_str() {
                "cdir" | "pdir" => return None,
                "file" => entry.kind = EntryKind::File,
                "dir" => entry.kind = EntryKind::Directory,
                _ => entry.kind = EntryKind::Other,
            },
            "size" => entry.bytes = value.parse().ok(),
            "modify" => entry.modified = modified(value),
            "unique" => entry.unique = Some(value.to_owned()),
            _ => {}
        }
    }
    if entry.kind != EntryKind::File {
        entry.bytes = None;
    }
    Some(entry)
}

/// An entry of LIST. Its times have no zone and no year, so they are not used.
#[must_use]
pub fn list_entry(line: &str) -> Option<RemoteEntry> {
    let file = ListParser::parse_posix(line).or_else(|_| ListParser::parse_dos(line)).ok()?;
    let mut entry = name_entry(file.name())?;
    entry.kind = match (file.is_file(), file.is_directory()) {
        (true, _) => EntryKind::File,
        (false, true) => EntryKind::Directory,
        (false, false) => EntryKind::Other,
    };
    entry.bytes = if file.is_file() { u64::try_from(file.size()).ok() } else { None };
    Some(entry)
}

/// `YYYYMMDDHHMMSS`, with a fraction that is dropped; always UTC (RFC 3659, 2.3).
pub(super) fn modified(text: &str) -> Option<UtcTime> {
    let digits = text.split('.').next()?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    UtcTime::from_seconds(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last day of a year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mlsd_lines_of_real_servers_are_read() {
        let entry = mlsd_entry(
            "modify=20261120093001.123;perm=adfrw;size=5;type=file;unique=803U1A;UNIX.mode=0644; a b 话单.dat",
        )
        .expect("entry");
        assert_eq!((entry.name.as_str(), entry.kind, entry.bytes), ("a b 话单.dat", EntryKind::File, Some(5)));
        assert_eq!(entry.unique.as_deref(), Some("803U1A"));
        assert_eq!(entry.modified.map(UtcTime::seconds), Some(1_795_167_001));
        let dir = mlsd_entry("Type=dir;Size=4096; out").expect("entry");
        assert_eq!((dir.kind, dir.bytes), (EntryKind::Directory, None));
        for skipped in ["type=cdir; .", "type=pdir; ..", "type=dir; .", "type=cdir; /home/x", "", "no-space"] {
            assert_eq!(mlsd_entry(skipped), None, "{skipped}");
        }
    }

    #[test]
    fn times_that_do_not_exist_are_left_out() {
        assert_eq!(modified("19700101000000").map(UtcTime::seconds), Some(0));
        assert_eq!(modified("20240229235959").map(UtcTime::seconds), Some(1_709_251_199));
        for bad in ["20241301000000", "2024", "2024010100000x", "20240101250000", ""] {
            assert_eq!(modified(bad), None, "{bad}");
        }
    }

    #[test]
    fn list_lines_state_size_and_kind() {
        let entry = list_entry("-rw-r--r--    1 1        1        300000 Nov 20 09:30 a b.dat").expect("entry");
        assert_eq!((entry.name.as_str(), entry.kind, entry.bytes), ("a b.dat", EntryKind::File, Some(300_000)));
        let dir = list_entry("drwxr-xr-x    2 1        1          4096 Nov 20 09:30 out").expect("entry");
        assert_eq!((dir.kind, dir.bytes), (EntryKind::Directory, None));
        assert_eq!(list_entry("total 12"), None);
    }

    #[test]
    fn names_come_without_their_directory() {
        assert_eq!(name_entry("out/话单.dat").map(|entry| entry.name).as_deref(), Some("话单.dat"));
        assert_eq!((name_entry("."), name_entry("out/..")), (None, None));
    }
}
