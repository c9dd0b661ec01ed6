//! Power cuts: state, archive, input and the partner's directory lie on a file system that is shut down at a random
//! moment without writing its log (the ioctl that ext4 and XFS have for that), then mounted again as after a reboot.
//!
//! It needs root and loop mounts. Where they are not allowed the test says so and passes, unless `HOURDROP_POWER_CUTS`
//! asks for a number of cuts.

use super::kills::Sender;
use super::rig::{FROM_NOW, Intake, NOW, Rig, expected};
use super::{memory_dir, number, say, seed, tell};
use crate::servers::tool;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Of both file systems together.
const CUTS: u64 = 10;
/// A place loses power so many times before it may come through.
const CUTS_OF_A_PLACE: u64 = 3;
const IMAGE_BYTES: u64 = 1 << 30;
/// Shuts a file system down; with 2 as its argument nothing more reaches the log.
const SHUTDOWN: &str = "open(my $place, '<', $ARGV[0]) or die $!; my $how = pack('L', 2); ioctl($place, 0x8004587d, $how) or die \"shutdown: $!\"";

/// A file system in a file, mounted as long as this lives.
struct FileSystem {
    kind: &'static str,
    image: PathBuf,
    place: PathBuf,
    mounted: bool,
    _dir: TempDir,
}

impl FileSystem {
    fn make(kind: &'static str) -> Result<Self, String> {
        let dir = memory_dir();
        let (image, place) = (dir.path().join("image"), dir.path().join("place"));
        fs::create_dir(&place).map_err(|fault| fault.to_string())?;
        fs::File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES)).map_err(|fault| fault.to_string())?;
        said(tool(&format!("mkfs.{kind}")).arg("-q").arg(&image))?;
        let mut made = Self { kind, image, place, mounted: false, _dir: dir };
        made.mount()?;
        Ok(made)
    }

    /// As after a reboot: the log is played back.
    fn mount(&mut self) -> Result<(), String> {
        let (image, place) = (&self.image, &self.place);
        said(Command::new("mount").args(["-t", self.kind, "-o", "loop"]).arg(image).arg(place))?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) {
        // The kernel may need a moment to let go of a process that was killed.
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(fault) = said(Command::new("umount").arg(&self.place)) {
            assert!(Instant::now() < until, "{fault}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mounted = false;
    }

    fn cut(place: &Path) {
        said(Command::new("perl").args(["-e", SHUTDOWN]).arg(place)).expect("the file system is shut down");
    }

    /// After a cut. A mount lives on while another mount namespace has a copy of it, made by whoever starts containers
    /// at this moment; then the next mount of the same device is still the one that was shut down.
    fn reboot(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            self.unmount();
            self.mount().expect("mounted again");
            let probe = self.place.join("probe");
            let works = fs::write(&probe, "works").and_then(|()| fs::remove_file(&probe));
            match works {
                Ok(()) => return,
                Err(fault) => assert!(Instant::now() < until, "{} does not come back: {fault}", self.kind),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everything up to now is kept.
    fn keep(&self) {
        said(Command::new("sync").arg("-f").arg(&self.place)).expect("synced");
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg("-l").arg(&self.place).stderr(Stdio::null()).status());
        }
    }
}

/// Runs a command that must succeed; what it said when it does not.
fn said(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|fault| format!("{command:?}: {fault}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The file system, or nothing where this machine does not allow it.
fn file_system(kind: &'static str) -> Option<FileSystem> {
    match FileSystem::make(kind) {
        Ok(made) => Some(made),
        Err(why) if std::env::var_os("HOURDROP_POWER_CUTS").is_none() => {
            say(&format!("POWER CUTS ON {kind} WERE NOT RUN: {why}"));
            None
        }
        Err(why) => panic!("power cuts were asked for and cannot be made: {why}"),
    }
}

/// What the program does while the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Once,
    Run,
    /// `run`, fed by a sender that trusts its acknowledgements.
    Stdin,
}

/// How long an undisturbed pass takes here and now: until its journal is there, and from then on.
struct Pace {
    start: Duration,
    rest: Duration,
}

impl Pace {
    fn measure(system: &FileSystem) -> Self {
        let root = system.place.join("undisturbed");
        fs::create_dir(&root).expect("directory");
        let rig = Rig::new(&root, Intake::Files, None);
        let begun = Instant::now();
        let mut process = rig.start("once", NOW);
        wait_for_journal(&rig);
        let start = begun.elapsed();
        assert!(process.wait().expect("the end").success(), "undisturbed");
        let rest = begun.elapsed().saturating_sub(start);
        fs::remove_dir_all(&root).expect("removed");
        Self { start, rest }
    }
}

fn wait_for_journal(rig: &Rig) {
    let until = Instant::now() + Duration::from_secs(5);
    while !rig.path("state/journal").exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Cuts the power at a random moment, and ends the process, which notices or not. A first start is given the time to
/// begin its work.
fn cut_within(place: &Path, rig: &Rig, process: &mut Child, pace: &Pace, random: &mut fastrand::Rng) {
    if rig.path("state/journal").exists() || random.u8(0..8) == 0 {
        std::thread::sleep((pace.start + pace.rest).mul_f64(random.f64()));
    } else {
        wait_for_journal(rig);
        std::thread::sleep(pace.rest.mul_f64(random.f64() * 1.2));
    }
    FileSystem::cut(place);
    let until = Instant::now() + Duration::from_millis(300);
    while process.try_wait().expect("status").is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().ok();
    process.wait().expect("the end");
}

fn cut_while_sending(place: &Path, rig: &Rig, sender: &mut Sender, random: &mut fastrand::Rng) -> Result<(), String> {
    let mut command = rig.command("run", FROM_NOW);
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let moment = sender.moment(random);
    let pid = rustix::process::Pid::from_child(&process);
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| {
            moment();
            FileSystem::cut(place);
            std::thread::sleep(Duration::from_millis(100));
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
        });
        sender.send(&mut process, random)
    });
    process.wait().expect("the end");
    sent.map(|_| ())
}

/// Cuts the power of one place some times, then lets it come through.
fn one(
    system: &mut FileSystem,
    number: u64,
    scene: Scene,
    pace: &Pace,
    random: &mut fastrand::Rng,
) -> Result<(), String> {
    let root = system.place.join(format!("place-{number}"));
    fs::create_dir(&root).expect("directory");
    let intake = if scene == Scene::Stdin { Intake::Stdin } else { Intake::Files };
    let rig = Rig::new(&root, intake, None);
    system.keep();
    let mut sender = Sender::new();
    let place = system.place.clone();
    for _ in 0..CUTS_OF_A_PLACE {
        match scene {
            Scene::Once => cut_within(&place, &rig, &mut rig.start("once", NOW), pace, random),
            Scene::Run => cut_within(&place, &rig, &mut rig.start("run", FROM_NOW), pace, random),
            Scene::Stdin => cut_while_sending(&place, &rig, &mut sender, random)?,
        }
        system.reboot();
    }
    if scene == Scene::Stdin {
        let mut command = rig.command("once", NOW);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let all = sender.send(&mut process, random)?;
        process.wait().expect("the end");
        if !all {
            return Err("not everything was accepted".to_owned());
        }
    }
    rig.settle()?;
    rig.judge(&expected())?;
    fs::remove_dir_all(&root).expect("removed");
    Ok(())
}

fn storm(kind: &'static str) {
    let Some(mut system) = file_system(kind) else { return };
    let (seed, cuts) = (seed(), number("HOURDROP_POWER_CUTS", CUTS).div_ceil(2));
    say(&format!("power cuts on {kind}: seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let pace = Pace::measure(&system);
    let mut made = 0;
    for place in 0.. {
        if made >= cuts {
            break;
        }
        let scene = [Scene::Once, Scene::Stdin, Scene::Run][usize::try_from(place % 3).expect("small")];
        one(&mut system, place, scene, &pace, &mut random).unwrap_or_else(|problems| {
            panic!("power cuts on {kind}: seed {seed}, place {place}, {scene:?}: {problems}")
        });
        made += CUTS_OF_A_PLACE;
    }
    tell(&format!("power cuts on {kind}"), made, made, seed);
}

#[test]
fn ext4_loses_power_at_random_moments() {
    storm("ext4");
}

#[test]
fn xfs_loses_power_at_random_moments() {
    storm("xfs");
}

/// The cuts are real: what was not synced is gone.
#[test]
fn a_power_cut_takes_what_was_not_synced() {
    for kind in ["ext4", "xfs"] {
        let Some(mut system) = file_system(kind) else { return };
        let [kept, lost, renamed] = ["kept", "lost", "renamed"].map(|name| system.place.join(name));
        fs::write(&kept, "bytes").expect("write");
        system.keep();
        fs::write(&lost, "bytes").expect("write");
        fs::rename(&kept, &renamed).expect("rename");
        FileSystem::cut(&system.place);
        system.reboot();
        assert!(!lost.exists() && !renamed.exists(), "{kind}");
        assert_eq!(fs::read(&kept).expect("kept"), b"bytes", "{kind}");
    }
}
