//! Call records as a switch writes them: 16 columns, about 175 bytes each, one day of +08:00, in order of arrival; one
//! in fifty is up to 90 minutes late. The same number of records is always the same bytes.

use std::io::Write;

/// 2026-03-14 00:00 +08:00.
const FIRST_SECOND: u64 = 1_773_417_600;
const DAY: u64 = 86_400;

const HEADER: &[u8] = b"call_id,record_type,calling,called,start_time,answer_time,end_time,duration_s,disposition,\
                        trunk_id,cell_id,charge,currency,cause,status,note\n";
const RECORD_TYPES: [&str; 6] = ["MOC", "MTC", "SMO", "SMT", "FWD", "ROA"];
const NOTES: [&str; 12] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "VIP",
    "roaming partner",
    "\"late, re-rated\"",
    "\"said \"\"busy\"\", redial\"",
    "prepaid",
];

/// `SplitMix64` (public domain, Sebastiano Vigna).
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, sides: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(sides);
        u64::try_from(product >> 64).unwrap_or_default()
    }
}

/// A file of `records` records with its header line.
pub fn csv(records: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_csv(records, &mut out).expect("memory can be written");
    out
}

/// Writes a file of `records` records with its header line.
pub fn write_csv(records: u64, out: &mut impl Write) -> std::io::Result<()> {
    let mut dice = Dice(20_260_314);
    out.write_all(HEADER)?;
    for number in 0..records {
        let arrival = number * DAY * 1000 / records; // milliseconds of the day
        let late = dice.below(50) == 0;
        let lag = dice.below(if late { 90 * 60 * 1000 } else { 5000 });
        write_record(out, &mut dice, FIRST_SECOND + arrival.saturating_sub(lag) / 1000)?;
    }
    Ok(())
}

fn pick<'a>(list: &[&'a str], bits: u64) -> &'a str {
    let at = usize::try_from(bits % list.len() as u64).unwrap_or_default();
    list.get(at).copied().unwrap_or_default()
}

fn write_record(out: &mut impl Write, dice: &mut Dice, start: u64) -> std::io::Result<()> {
    let (a, b, c) = (dice.next(), dice.next(), dice.next());
    let answered = c % 10 < 8;
    let ring = (c >> 8) % 25;
    let duration = if answered { 1 + ((c >> 16) % 60) * ((c >> 24) % 60) } else { 0 };
    let charge = duration * (3 + (c >> 32) % 40);
    let (calling, called) = (dice.below(10_000_000_000), dice.below(10_000_000_000));
    write!(out, "{:08x}-{:04x}-4{:03x}-", a >> 32, (a >> 16) & 0xffff, a & 0xfff)?;
    write!(out, "a{:03x}-{:012x},", (b >> 52) & 0xfff, b & 0xffff_ffff_ffff)?;
    write!(out, "{},+861{calling:010},+861{called:010},", pick(&RECORD_TYPES, c >> 40))?;
    // The day has 8 hours of 2026-03-13 and 16 of 2026-03-14, UTC.
    let second = start - (FIRST_SECOND - 16 * 3600);
    let (day, second) = (13 + second / DAY, second % DAY);
    write!(out, "2026-03-{day:02}T{:02}:{:02}:{:02}+00:00,", second / 3600, second / 60 % 60, second % 60)?;
    if answered {
        write!(out, "{}", start + ring)?;
    }
    let disposition = if answered { "ANSWERED" } else { "NOANSWER" };
    write!(out, ",{},{duration},{disposition},", start + ring + duration)?;
    write!(out, "TG{:03},46000-{:04X}-{:05},", (c >> 44) % 400, (c >> 12) & 0xffff, (c >> 28) % 65_536)?;
    let cause = if answered { 16 } else { 17 + (c >> 50) % 5 };
    write!(out, "{}.{:04},CNY,{cause},", charge / 10_000, charge % 10_000)?;
    writeln!(out, "{},{}", (c >> 55) % 4, pick(&NOTES, c >> 57))
}
