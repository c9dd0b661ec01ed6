//! Which names lead to which files: as a reader sees it, and on the disk.

use super::survival::Survival;
use std::collections::{BTreeMap, BTreeSet};

/// A change of directories that is not durable yet. A rename is one change: it is carried out wholly or not at all.
#[derive(Debug, Clone)]
struct Change {
    moment: u64,
    removed: Option<String>,
    added: Option<(String, usize)>,
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &String> {
        self.removed.iter().chain(self.added.as_ref().map(|(path, _)| path))
    }

    fn touches(&self, dir: &str) -> bool {
        self.paths().any(|path| parent(path) == dir)
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, file)) = &self.added {
            names.insert(path.clone(), *file);
        }
    }
}

/// The directory that holds a path.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// All names, each with the number of its file.
#[derive(Debug, Default)]
pub struct Names {
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
}

impl Names {
    pub fn get(&self, path: &str) -> Option<usize> {
        self.live.get(path).copied()
    }

    /// The entries of a directory, sorted by name.
    pub fn entries(&self, dir: &str) -> impl Iterator<Item = (&String, usize)> {
        self.below(dir).filter(move |(path, _)| parent(path) == dir)
    }

    /// Everything below a directory.
    pub fn below(&self, dir: &str) -> impl Iterator<Item = (&String, usize)> {
        let dir = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        self.live
            .range(dir.clone()..)
            .take_while(move |(path, _)| path.starts_with(&dir))
            .map(|(path, file)| (path, *file))
    }

    pub fn change(&mut self, moment: u64, removed: Option<&str>, added: Option<(&str, usize)>) {
        let added = added.map(|(path, file)| (path.to_owned(), file));
        let change = Change { moment, removed: removed.map(str::to_owned), added };
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// A change that is durable at once.
    pub fn settle(&mut self, path: &str, file: Option<usize>) {
        self.sync_where(|change| change.paths().any(|touched| touched == path));
        for names in [&mut self.live, &mut self.durable] {
            match file {
                Some(file) => names.insert(path.to_owned(), file),
                None => names.remove(path),
            };
        }
    }

    /// Makes the changes durable that touch a directory, and what they build on.
    pub fn sync_dir(&mut self, dir: &str) {
        self.sync_where(|change| change.touches(dir));
    }

    fn sync_where(&mut self, wanted: impl Fn(&Change) -> bool) {
        let mut paths: BTreeSet<String> = BTreeSet::new();
        let mut chosen = vec![false; self.pending.len()];
        for (index, change) in self.pending.iter().enumerate().rev() {
            if wanted(change) || change.paths().any(|path| paths.contains(path)) {
                chosen[index] = true;
                paths.extend(change.paths().cloned());
            }
        }
        let mut chosen = chosen.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let apply = chosen.next().unwrap_or(false);
            if apply {
                change.apply(durable);
            }
            !apply
        });
    }

    /// The moments of changes that are not durable yet.
    pub fn pending_moments(&self) -> impl Iterator<Item = u64> + '_ {
        self.pending.iter().map(|change| change.moment)
    }

    /// The power went. What lies in a directory that is gone is gone, too.
    pub fn cut_power(&mut self, survival: Survival, random: &mut fastrand::Rng) {
        let mut lost: BTreeSet<String> = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::UpTo(limit) => change.moment < limit,
                Survival::Scattered { .. } => random.bool() && !change.paths().any(|path| lost.contains(path)),
            };
            if survives {
                change.apply(&mut self.durable);
            } else {
                lost.extend(change.paths().cloned());
            }
        }
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        for (path, file) in std::mem::take(&mut self.durable) {
            if parent(&path).is_empty() || kept.contains_key(parent(&path)) {
                kept.insert(path, file);
            }
        }
        self.durable = kept;
        self.live = self.durable.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(names: &mut Names, survival: Survival) -> Vec<&str> {
        names.cut_power(survival, &mut fastrand::Rng::with_seed(1));
        names.live.keys().map(String::as_str).collect()
    }

    fn made() -> Names {
        let mut names = Names::default();
        names.settle("d", Some(0));
        names.settle("e", Some(1));
        names.change(1, None, Some(("d/a", 2)));
        names.change(2, Some("d/a"), Some(("e/b", 2)));
        names
    }

    #[test]
    fn a_name_is_durable_after_its_directory_was_synced() {
        assert_eq!(after(&mut made(), Survival::Nothing), ["d", "e"]);
        assert_eq!(after(&mut made(), Survival::UpTo(2)), ["d", "d/a", "e"]);
        assert_eq!(after(&mut made(), Survival::Everything), ["d", "e", "e/b"]);
        let mut synced = made();
        synced.sync_dir("e");
        assert_eq!(after(&mut synced, Survival::Nothing), ["d", "e", "e/b"]);
        let mut removed = made();
        removed.sync_dir("d");
        removed.change(3, Some("e/b"), None);
        assert_eq!(after(&mut removed, Survival::Nothing), ["d", "e", "e/b"]);
    }

    #[test]
    fn what_lies_in_a_lost_directory_is_lost() {
        let mut names = made();
        names.change(3, None, Some(("d/sub", 3)));
        names.change(4, None, Some(("d/sub/x", 4)));
        names.sync_dir("d/sub");
        assert_eq!(after(&mut names, Survival::Nothing), ["d", "e"]);
    }
}
