//! Names that nothing has yet.

use super::Disk;
use std::io;
use std::path::{Path, PathBuf};

/// `path` when nothing lies there, else the first of `path.2`, `path.3` and so on where nothing does. `is_it` may accept
/// what lies there, such as the copy of an earlier try.
///
/// # Errors
/// What the disk or `is_it` says.
pub fn free_name(disk: &dyn Disk, path: &Path, is_it: &dyn Fn(&Path) -> io::Result<bool>) -> io::Result<PathBuf> {
    let mut free = path.to_owned();
    let mut number = 1;
    while disk.stat(&free)?.is_some() && !is_it(&free)? {
        number += 1;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        free = PathBuf::from(name);
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::*;
    use std::fs;

    fn write(path: &Path, bytes: &[u8]) {
        RealDisk.create_new(path).and_then(|mut file| file.write_all(bytes)).expect("write");
    }

    #[test]
    fn the_first_free_number_is_taken_and_what_is_known_is_accepted() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.csv");
        let name = |is_it: &str| {
            let is_it = is_it.to_owned();
            let free = free_name(&RealDisk, &path, &|found| Ok(fs::read_to_string(found)? == is_it)).expect("a name");
            free.file_name().expect("name").to_string_lossy().into_owned()
        };
        assert_eq!(name("none"), "a.csv");
        write(&path, b"one");
        assert_eq!((name("none"), name("one")), ("a.csv.2".to_owned(), "a.csv".to_owned()));
        write(&dir.path().join("a.csv.2"), b"two");
        assert_eq!((name("none"), name("two")), ("a.csv.3".to_owned(), "a.csv.2".to_owned()));
    }
}
