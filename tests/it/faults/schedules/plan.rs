//! What a server does wrong and when, and what kind of server it is.

use std::fmt;

/// A boundary in the dialogue at which something can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Greeting,
    User,
    Pass,
    Feat,
    Type,
    Opts,
    Cwd,
    Mkd,
    Pwd,
    /// EPSV or PASV.
    Passive,
    /// The data connection of an upload is taken.
    Connect,
    /// STOR before its first reply.
    Stor,
    /// The bytes of an upload.
    StorData,
    /// The confirmation of an upload.
    Stored,
    Size,
    /// MLSD, NLST or LIST before the first reply.
    List,
    /// The bytes of a listing.
    ListData,
    /// The confirmation of a listing.
    Listed,
    Rnfr,
    Rnto,
    Dele,
    Quit,
}

pub const STEPS: [Step; 22] = [
    Step::Greeting,
    Step::User,
    Step::Pass,
    Step::Feat,
    Step::Type,
    Step::Opts,
    Step::Cwd,
    Step::Mkd,
    Step::Pwd,
    Step::Passive,
    Step::Connect,
    Step::Stor,
    Step::StorData,
    Step::Stored,
    Step::Size,
    Step::List,
    Step::ListData,
    Step::Listed,
    Step::Rnfr,
    Step::Rnto,
    Step::Dele,
    Step::Quit,
];

impl Step {
    pub const fn is_data(self) -> bool {
        matches!(self, Self::StorData | Self::ListData)
    }

    /// What such a command does takes effect with it, so it matters whether it was carried out before things went
    /// wrong.
    const fn acts(self) -> bool {
        matches!(self, Self::Cwd | Self::Mkd | Self::Stored | Self::Rnfr | Self::Rnto | Self::Dele | Self::Pass)
    }
}

/// The codes with which servers refuse.
pub const CODES: [u16; 10] = [421, 425, 426, 450, 451, 452, 530, 550, 552, 553];

/// How much of the data goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Nothing,
    OneByte,
    Half,
    All,
}

const SHARES: [Share; 4] = [Share::Nothing, Share::OneByte, Share::Half, Share::All];

/// How a data connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEnd {
    /// In order: nobody can see that something is missing.
    Closed,
    Reset,
    /// Both ends stay open until the client gives up.
    Stalled,
}

/// A right reply in an odd form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Several lines, some of which look like other replies.
    Lines,
    /// One byte at a time.
    Pieces,
    /// Line feeds without carriage returns, and bytes that are not UTF-8.
    Sloppy,
    /// A text of some thousand bytes.
    Long,
}

const FORMS: [Form; 4] = [Form::Lines, Form::Pieces, Form::Sloppy, Form::Long];

/// No reply at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    Garbage,
    /// A code that does not exist.
    NoSuchCode,
    /// A line that does not end.
    Endless,
    /// Half a reply, then the end of the connection.
    HalfReply,
}

const NOISES: [Noise; 4] = [Noise::Garbage, Noise::NoSuchCode, Noise::Endless, Noise::HalfReply];

/// What is stated instead of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongSize {
    OneMore,
    Half,
    Zero,
    Huge,
}

const WRONG_SIZES: [WrongSize; 4] = [WrongSize::OneMore, WrongSize::Half, WrongSize::Zero, WrongSize::Huge];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The connection ends without a reply.
    Cut {
        done: bool,
        reset: bool,
    },
    /// No reply comes until the client gives up.
    Stall {
        done: bool,
    },
    /// The same, and the command is carried out when so many more commands have come.
    Late {
        commands: u32,
    },
    /// A refusal.
    Code {
        code: u16,
        done: bool,
    },
    Form(Form),
    Noise(Noise),
    Size(WrongSize),
    /// Only a part of the data goes through. `then` is the reply; without one the control connection ends, too.
    Data {
        share: Share,
        end: DataEnd,
        then: Option<u16>,
    },
}

impl Act {
    /// The command is carried out.
    pub const fn is_done(self) -> bool {
        match self {
            Self::Cut { done, .. } | Self::Stall { done } | Self::Code { done, .. } => done,
            Self::Late { .. } => false,
            Self::Form(_) | Self::Noise(_) | Self::Size(_) | Self::Data { .. } => true,
        }
    }
}

/// One thing that goes wrong: at the `nth` time that this step is reached, and `times` times from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lie {
    pub step: Step,
    pub nth: u32,
    pub times: u32,
    pub act: Act,
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} #{}", self.step, self.nth)?;
        if self.times > 1 {
            write!(f, " x{}", self.times)?;
        }
        write!(f, ": {:?}", self.act)
    }
}

/// When the partner takes what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    Never,
    /// Before the answer to the rename is on its way.
    AtOnce,
    /// With every command of the dialogue by this chance in a hundred, one file.
    Sometimes(u8),
}

/// What kind of server it is, from the first day to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
pub struct Traits {
    pub knows_feat: bool,
    pub knows_epsv: bool,
    pub knows_mlsd: bool,
    pub knows_size: bool,
    pub knows_rename: bool,
    /// A rename onto an existing name replaces it; otherwise it is refused.
    pub replaces: bool,
    /// PASV announces an address of another network.
    pub wrong_address: bool,
    pub unsorted: bool,
    /// The form of every greeting.
    pub greeting: Option<Form>,
    pub taking: Taking,
    /// Strangers' files lie in the directories.
    pub foreign: bool,
    /// A stranger's file has one of our final names.
    pub foreign_final: bool,
    /// Temporary names lie in a directory of their own.
    pub temporary_dir: bool,
    /// The configuration says to send a file in doubt again.
    pub resend: bool,
    /// Files of some megabytes.
    pub large: bool,
    /// As many connections may there be at once.
    pub connections_max: Option<u32>,
    /// As many files may lie in the drop directory; more are refused with 552.
    pub files_max: Option<usize>,
    /// The partner puts away what it has taken, and answers.
    pub answers: bool,
}

impl Traits {
    pub const PLAIN: Self = Self {
        knows_feat: true,
        knows_epsv: true,
        knows_mlsd: true,
        knows_size: true,
        knows_rename: true,
        replaces: true,
        wrong_address: false,
        unsorted: false,
        greeting: None,
        taking: Taking::Never,
        foreign: true,
        foreign_final: false,
        temporary_dir: false,
        resend: false,
        large: false,
        connections_max: None,
        files_max: None,
        answers: false,
    };

    fn draw(random: &mut fastrand::Rng) -> Self {
        let mut one_in = |number: u8| random.u8(0..number) == 0;
        let mut traits = Self {
            knows_feat: !one_in(8),
            knows_epsv: !one_in(3),
            knows_mlsd: !one_in(3),
            knows_size: !one_in(5),
            knows_rename: !one_in(40),
            replaces: !one_in(3),
            wrong_address: one_in(3),
            unsorted: one_in(3),
            greeting: None,
            taking: Taking::Never,
            foreign: !one_in(4),
            foreign_final: one_in(8),
            temporary_dir: one_in(4),
            resend: one_in(4),
            large: one_in(12),
            connections_max: None,
            files_max: None,
            answers: false,
        };
        if random.u8(0..6) == 0 {
            traits.greeting = Some(FORMS[random.usize(0..FORMS.len())]);
        }
        traits.taking = match random.u8(0..3) {
            0 => Taking::Never,
            1 => Taking::AtOnce,
            _ => Taking::Sometimes(random.u8(1..60)),
        };
        traits
    }
}

/// A server and everything that it does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub traits: Traits,
    pub lies: Vec<Lie>,
    /// For what the partner does by chance.
    pub seed: u64,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lies: Vec<String> = self.lies.iter().map(Lie::to_string).collect();
        write!(f, "[{}] at {:?}", lies.join("; "), self.traits)
    }
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let traits = Traits::draw(&mut random);
        let lies = (0..random.usize(1..=6)).map(|_| draw_lie(&mut random)).collect();
        Self { traits, lies, seed }
    }

    /// One lie at an ordinary server.
    pub fn of(lie: Lie, traits: Traits) -> Self {
        Self { traits, lies: vec![lie], seed: 1 }
    }
}

fn draw_lie(random: &mut fastrand::Rng) -> Lie {
    // What decides about names is hit more often than the rest.
    let heavy = [Step::Rnto, Step::Size, Step::Stored, Step::StorData, Step::Dele, Step::Listed];
    let step = if random.bool() { heavy[random.usize(0..heavy.len())] } else { STEPS[random.usize(0..STEPS.len())] };
    let acts = acts_of(step);
    let act = acts[random.usize(0..acts.len())];
    let times = match (act, random.u8(0..8)) {
        // For ever: until the server mends its ways.
        (Act::Size(_), 0) => 100_000,
        (_, 0) => 3,
        (_, 1) => 2,
        _ => 1,
    };
    Lie { step, nth: random.u32(1..=5), times, act }
}

/// Everything that can go wrong at a step.
pub fn acts_of(step: Step) -> Vec<Act> {
    if step.is_data() {
        return data_acts();
    }
    let dones: &[bool] = if step.acts() { &[false, true] } else { &[false] };
    let mut acts = Vec::new();
    for &done in dones {
        acts.extend([false, true].map(|reset| Act::Cut { done, reset }));
        acts.push(Act::Stall { done });
        if step != Step::Greeting || !done {
            acts.extend(CODES.map(|code| Act::Code { code, done }));
        }
    }
    if matches!(step, Step::Connect | Step::Stor | Step::List) {
        return acts;
    }
    acts.extend(FORMS.map(Act::Form));
    acts.extend(NOISES.map(Act::Noise));
    if matches!(step, Step::Rnto | Step::Dele) {
        acts.extend([1, 2, 4, 9].map(|commands| Act::Late { commands }));
    }
    if step == Step::Size {
        acts.extend(WRONG_SIZES.map(Act::Size));
    }
    acts
}

fn data_acts() -> Vec<Act> {
    let mut acts = Vec::new();
    for share in SHARES {
        for end in [DataEnd::Closed, DataEnd::Reset] {
            acts.extend([None, Some(226), Some(426), Some(451)].map(|then| Act::Data { share, end, then }));
        }
        acts.push(Act::Data { share, end: DataEnd::Stalled, then: None });
    }
    acts
}
