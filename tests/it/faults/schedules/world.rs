//! What lies at a scripted server, the record of what could be seen there, and the rules that are watched all the time.

use super::plan::{Act, Plan, Step, Taking, Traits};
use std::collections::{BTreeMap, BTreeSet};

/// Where final names appear.
pub const OUT: &str = "out";
/// Where temporary names lie if not there.
pub const WORK: &str = "work";
/// A stranger's file that looks like a temporary name of another sender.
const OTHERS: [&str; 4] =
    ["out/HX_2024110302_00001.dat.ffffffff-1.tmp", "out/readme.txt", "out/HX_old.dat", "work/their.tmp"];

/// Something that has happened at the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A final name came into being, with these bytes.
    Shown(String, Vec<u8>),
    /// The partner has taken it.
    Taken(String),
}

/// A rename or removal that is carried out later.
#[derive(Debug, Clone)]
struct Late {
    commands: u32,
    act: Change,
}

/// What changes names.
#[derive(Debug, Clone)]
pub enum Change {
    Rename { from: String, to: String },
    Remove(String),
}

/// Everything at the server.
#[derive(Debug)]
pub struct World {
    pub traits: Traits,
    pub files: BTreeMap<String, Vec<u8>>,
    pub dirs: BTreeSet<String>,
    foreign: BTreeMap<String, Vec<u8>>,
    pub events: Vec<Event>,
    /// Promises that were broken.
    pub broken: Vec<String>,
    pub commands: Vec<String>,
    /// What went wrong, as far as it was reached.
    pub fired: Vec<(Step, Act)>,
    /// Connections that the client left without a word although nothing went wrong.
    pub unexplained: u32,
    pub connections: u32,
    /// Uploads that were refused because the drop directory held as many files as it may.
    pub turned_away: u32,
    plan: Plan,
    behaves: bool,
    reached: BTreeMap<Step, u32>,
    late: Vec<Late>,
    random: fastrand::Rng,
}

impl World {
    /// `foreign_final` is the name of ours that a stranger has used before.
    pub fn new(plan: &Plan, foreign_final: &str) -> Self {
        let traits = plan.traits;
        let mut foreign = BTreeMap::new();
        if traits.foreign {
            foreign.extend(OTHERS.map(|path| (path.to_owned(), format!("foreign {path}").into_bytes())));
        }
        if traits.foreign_final {
            foreign.insert(format!("{OUT}/{foreign_final}"), b"a stranger's".to_vec());
        }
        let mut dirs = BTreeSet::new();
        if traits.answers {
            dirs.extend(["done".to_owned(), "answers".to_owned()]);
        }
        if traits.foreign || traits.foreign_final {
            dirs.extend([OUT.to_owned(), WORK.to_owned()]);
        }
        Self {
            traits,
            files: foreign.clone(),
            dirs,
            foreign,
            events: Vec::new(),
            broken: Vec::new(),
            commands: Vec::new(),
            fired: Vec::new(),
            unexplained: 0,
            connections: 0,
            plan: plan.clone(),
            behaves: false,
            turned_away: 0,
            reached: BTreeMap::new(),
            late: Vec::new(),
            random: fastrand::Rng::with_seed(plan.seed),
        }
    }

    /// A connection begins, if there is room for one.
    pub fn admit(&mut self) -> bool {
        let has_room = self.traits.connections_max.is_none_or(|max| self.connections < max);
        self.connections += u32::from(has_room);
        has_room
    }

    /// The drop directory may hold no more files.
    pub fn is_full(&self) -> bool {
        let held = self.files.keys().filter(|path| path.starts_with("out/")).count();
        self.traits.files_max.is_some_and(|max| held >= max)
    }

    /// What goes wrong now that this step is reached.
    pub fn reach(&mut self, step: Step) -> Option<Act> {
        let count = self.reached.entry(step).or_default();
        *count += 1;
        let count = *count;
        if self.behaves {
            return None;
        }
        let due = |lie: &&super::plan::Lie| lie.step == step && (lie.nth..lie.nth + lie.times).contains(&count);
        let act = self.plan.lies.iter().find(due)?.act;
        self.fired.push((step, act));
        self.commands.push(format!("    !! {step:?} {act:?}"));
        Some(act)
    }

    /// From now on nothing goes wrong any more. What was late is carried out.
    pub fn behave(&mut self) {
        self.behaves = true;
        for late in std::mem::take(&mut self.late) {
            self.carry_out(late.act);
        }
        self.commands.push("    !! behaves".to_owned());
    }

    /// A command has come: late things may be due, and the partner may take something.
    pub fn hear(&mut self, command: &str) {
        self.commands.push(command.to_owned());
        for late in &mut self.late {
            late.commands = late.commands.saturating_sub(1);
        }
        let (due, waiting) = std::mem::take(&mut self.late).into_iter().partition(|late| late.commands == 0);
        self.late = waiting;
        for late in due {
            self.commands.push(format!("    !! late {:?}", late.act));
            self.carry_out(late.act);
        }
        if let Taking::Sometimes(chance) = self.traits.taking
            && self.random.u8(0..100) < chance
        {
            let ours: Vec<String> = self.visible().map(|(name, _)| name.clone()).collect();
            if !ours.is_empty() {
                let name = ours[self.random.usize(0..ours.len())].clone();
                self.take(&name);
            }
        }
    }

    pub fn postpone(&mut self, commands: u32, act: Change) {
        self.late.push(Late { commands, act });
    }

    /// Our final names that lie there.
    pub fn visible(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        let ours = |path: &String| path.starts_with("out/HX_2024") && !path.ends_with(".tmp");
        self.files.iter().filter(move |(path, _)| ours(path) && !self.foreign.contains_key(*path))
    }

    fn take(&mut self, path: &str) {
        self.files.remove(path);
        self.commands.push(format!("    !! the partner takes {path}"));
        self.events.push(Event::Taken(path.to_owned()));
    }

    /// No command that changes something may name what is not the client's own temporary file.
    fn watch(&mut self, verb: &str, path: &str) {
        if self.foreign.contains_key(path) {
            self.broken.push(format!("{verb} {path} names a stranger's file"));
        } else if !path.ends_with(".tmp") {
            self.broken.push(format!("{verb} {path} names no temporary file"));
        }
    }

    /// A file is stored, whole or in part.
    pub fn store(&mut self, path: &str, content: Vec<u8>) {
        self.files.insert(path.to_owned(), content);
    }

    /// STOR is asked for.
    pub fn asked_to_store(&mut self, path: &str) {
        self.watch("STOR", path);
    }

    pub fn asked_to_rename_from(&mut self, path: &str) {
        self.watch("RNFR", path);
    }

    pub fn asked_to_rename_to(&mut self, path: &str) {
        if self.foreign.contains_key(path) {
            self.broken.push(format!("RNTO {path} names a stranger's file"));
        }
    }

    pub fn asked_to_remove(&mut self, path: &str) {
        self.watch("DELE", path);
    }

    /// Carries out a change and says whether it could.
    pub fn carry_out(&mut self, change: Change) -> bool {
        match change {
            Change::Remove(path) => self.files.remove(&path).is_some(),
            Change::Rename { from, to } => {
                let replaced = self.files.get(&to).cloned();
                if replaced.is_some() && !self.traits.replaces {
                    return false;
                }
                let Some(content) = self.files.remove(&from) else { return false };
                if replaced.is_some() {
                    self.broken.push(format!("the rename to {to} replaced a file"));
                }
                self.events.push(Event::Shown(to.clone(), content.clone()));
                self.files.insert(to.clone(), content);
                if self.traits.taking == Taking::AtOnce && !self.foreign.contains_key(&to) {
                    self.take(&to);
                }
                true
            }
        }
    }

    /// How often a final name came into being.
    pub fn times_shown(&self, name: &str) -> usize {
        let path = format!("{OUT}/{name}");
        self.events.iter().filter(|event| matches!(event, Event::Shown(shown, _) if *shown == path)).count()
    }

    /// A person at the partner takes a stranger's file away.
    pub fn take_stranger_away(&mut self, name: &str) -> bool {
        let path = format!("{OUT}/{name}");
        self.files.remove(&path);
        self.foreign.remove(&path).is_some()
    }

    /// What strangers have put there is as it was.
    pub fn judge_foreign(&self) -> Vec<String> {
        let changed = self.foreign.iter().filter(|(path, bytes)| self.files.get(*path) != Some(bytes));
        changed.map(|(path, _)| format!("{path} is a stranger's and was changed or removed")).collect()
    }

    /// Temporary files of ours.
    pub fn left_over(&self) -> Vec<String> {
        let ours = self.files.keys().filter(|path| path.ends_with(".tmp") && !self.foreign.contains_key(*path));
        ours.cloned().collect()
    }
}
