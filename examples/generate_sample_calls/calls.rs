//! Call records of a small switch in Berlin, over the weekend on which Europe put its clocks forward.
//!
//! ```text
//! calls start at          2026-03-28 12:00 +01:00  ...  2026-03-29 20:00 +02:00      (31 hours)
//! a record is written     when the call has ended, plus a few seconds; one in a hundred 5 to 180 minutes later
//! a new file begins       every two hours of the time of writing
//! ```
//! So records stand in the order in which calls ended, start times step back, and late ones lie in a later file.
//! All subscriber numbers are made up.

use std::fmt::Write as _;

/// The seed of the committed files.
pub const SEED: u64 = 20_260_329;
/// The number of calls in the committed files.
pub const CALLS: u64 = 4000;

/// 2026-03-28 12:00 +01:00.
const FIRST_SECOND: u64 = 1_774_695_600;
/// 2026-03-29 01:00 UTC: 02:00 +01:00 becomes 03:00 +02:00.
const CLOCKS_FORWARD: u64 = 1_774_746_000;
const FILE_SECONDS: u64 = 2 * 3600;
const HEADER: &str = "call_id,service,calling,called,calling_name,start,answer,end,duration_s,volume_bytes,cause,trunk,\
                      charge_eur\n";

/// How busy each of the 31 hours is: Saturday noon to midnight, the night, Sunday until eight.
const HOUR_WEIGHTS: [u64; 31] = [
    58, 56, 55, 57, 60, 66, 72, 78, 74, 62, 44, 30, // 12:00 to 24:00, +01:00
    18, 11, // 00:00 and 01:00; 02:00 does not exist
    7, 4, 3, 4, 7, 13, 24, 36, 46, 52, 54, 55, 56, 60, 66, 70, 68, // 03:00 to 20:00, +02:00
];

const TRUNKS: [&str; 5] = ["TG101", "TG102", "TG103", "TG210", "TG440"];

const SURNAMES: [&str; 20] = [
    "Müller",
    "Schmidt",
    "Yılmaz",
    "Kowalska",
    "O'Brien",
    "Nguyễn",
    "Fischer",
    "Åkesson",
    "García",
    "Weiß",
    "Petrović",
    "Hoffmann",
    "Öztürk",
    "Bianchi",
    "Nováková",
    "李",
    "Schulz",
    "de Vries",
    "Иванова",
    "Becker",
];

const GIVEN_NAMES: [&str; 12] =
    ["Anna", "Jürgen", "Elif", "Siobhán", "Linh", "Lars", "Inés", "Max \"Maxi\"", "娜", "Jan", "Zoë", "Mira"];

/// `SplitMix64` (public domain, Sebastiano Vigna): whole numbers only, so that every machine computes the same.
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `sides` - 1; `sides` below 2^32.
    const fn below(&mut self, sides: u64) -> u64 {
        ((self.next() >> 32) * sides) >> 32
    }

    const fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(list.len() as u64)).unwrap_or_default();
        list.get(at).copied().unwrap_or_default()
    }
}

struct Call {
    /// The second at which its record is written.
    written: u64,
    line: String,
}

/// Names and contents of the files.
pub fn files(seed: u64, count: u64) -> Vec<(String, String)> {
    let mut dice = Dice(seed);
    let mut starts: Vec<u64> = (0..count).map(|_| start_second(&mut dice)).collect();
    starts.sort_unstable();
    let numbered = starts.iter().zip(1..);
    let mut calls: Vec<Call> = numbered.map(|(start, number)| call(&mut dice, number, *start)).collect();
    calls.sort_by_key(|call| call.written);
    let mut files: Vec<(String, String)> = Vec::new();
    for call in calls {
        let number = (call.written - FIRST_SECOND) / FILE_SECONDS + 1;
        while (files.len() as u64) < number {
            files.push((format!("cdr_{:05}.csv", files.len() + 1), HEADER.to_owned()));
        }
        if let Some((_, content)) = files.last_mut() {
            content.push_str(&call.line);
        }
    }
    files
}

fn start_second(dice: &mut Dice) -> u64 {
    let mut ticket = dice.below(HOUR_WEIGHTS.iter().sum());
    let mut hour_start = FIRST_SECOND;
    for weight in HOUR_WEIGHTS {
        if ticket < weight {
            break;
        }
        ticket -= weight;
        hour_start += 3600;
    }
    hour_start + dice.below(3600)
}

/// What happened, before it is written down.
struct Usage {
    service: &'static str,
    called: String,
    /// Seconds until the answer; `None` when nobody answered.
    answer: Option<u64>,
    duration: u64,
    end: u64,
    volume: u64,
    /// Q.850.
    cause: u64,
    /// Ten-thousandths of a euro.
    charge: u64,
}

fn call(dice: &mut Dice, number: u64, start: u64) -> Call {
    let usage = match dice.below(100) {
        0..62 => voice(dice),
        62..82 => message(dice),
        _ => data(dice),
    };
    let end = start + usage.end;
    let delay = if dice.one_in(100) { 300 + dice.below(175 * 60) } else { 2 + dice.below(40) };
    let mut line = String::new();
    // Writing to a String cannot fail.
    let written = write_line(&mut line, dice, number, start, &usage);
    assert!(written.is_ok());
    Call { written: end + delay, line }
}

fn voice(dice: &mut Dice) -> Usage {
    let called = subscriber(dice);
    let abroad = !called.starts_with("+49");
    let ring = 2 + dice.below(28);
    if dice.below(100) < 14 {
        let cause = [17, 18, 19, 19, 31, 16].into_iter().nth(usize::try_from(dice.below(6)).unwrap_or_default());
        let cause = cause.unwrap_or(19);
        return Usage { service: "voice", called, answer: None, duration: 0, end: ring, volume: 0, cause, charge: 0 };
    }
    // The product of two makes short calls frequent and long ones rare.
    let duration = 1 + dice.below(48) * dice.below(48) + dice.below(60);
    let charge = duration * if abroad { 49 } else { 15 };
    let end = ring + duration;
    Usage { service: "voice", called, answer: Some(ring), duration, end, volume: 0, cause: 16, charge }
}

fn message(dice: &mut Dice) -> Usage {
    let called = subscriber(dice);
    let charge = if called.starts_with("+49") { 790 } else { 1290 };
    let end = 1 + dice.below(4);
    Usage { service: "sms", called, answer: Some(end), duration: 0, end, volume: 0, cause: 16, charge }
}

fn data(dice: &mut Dice) -> Usage {
    let called = dice.pick(&["web.example", "ims.example", "iot.example"]).to_owned();
    let duration = 5 + dice.below(60) * dice.below(60);
    let volume_max = 1 << dice.below(28);
    let volume = 400 + dice.below(volume_max);
    let charge = volume * 31 / 1_000_000;
    Usage { service: "data", called, answer: Some(0), duration, end: duration, volume, cause: 16, charge }
}

/// Numbers that belong to nobody: made up in Germany, kept free for fiction in the United States and Great Britain.
fn subscriber(dice: &mut Dice) -> String {
    match dice.below(10) {
        0..8 => format!("+4915550{:05}", dice.below(100_000)),
        8 => format!("+1{}55501{:02}", dice.pick(&["212", "312", "415"]), dice.below(100)),
        _ => format!("+447700900{:03}", dice.below(1000)),
    }
}

fn write_line(out: &mut String, dice: &mut Dice, number: u64, start: u64, usage: &Usage) -> std::fmt::Result {
    write!(out, "B1-{number:08},{},+4915550{:05},{},", usage.service, dice.below(100_000), usage.called)?;
    if !dice.one_in(4) {
        let name = format!("{}, {}", dice.pick(&SURNAMES), dice.pick(&GIVEN_NAMES));
        write!(out, "\"{}\"", name.replace('"', "\"\""))?;
    }
    write!(out, ",{},", Local(start))?;
    if let Some(answer) = usage.answer {
        write!(out, "{}", Local(start + answer))?;
    }
    write!(out, ",{},{},", Local(start + usage.end), usage.duration)?;
    if usage.service == "data" {
        write!(out, "{}", usage.volume)?;
    }
    let (euros, rest) = (usage.charge / 10_000, usage.charge % 10_000);
    writeln!(out, ",{},{},{euros}.{rest:04}", usage.cause, dice.pick(&TRUNKS))
}

/// A second as the clocks of Berlin show it, RFC 3339.
struct Local(u64);

impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let offset_hours = if self.0 < CLOCKS_FORWARD { 1 } else { 2 };
        // Seconds since 2026-03-28 00:00 local; the sample ends before April.
        let local = self.0 + offset_hours * 3600 - (FIRST_SECOND + 3600 - 12 * 3600);
        let (day, second) = (28 + local / 86_400, local % 86_400);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "2026-03-{day:02}T{hour:02}:{minute:02}:{:02}+{offset_hours:02}:00", second % 60)
    }
}
