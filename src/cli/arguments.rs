//! What can be typed. Texts here are what `--help` shows.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Durable hourly files of call detail records for partners that pick them up, with a manifest, an identical archive
/// and a ledger.
#[derive(Debug, Parser)]
#[command(name = "hourdrop", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 4 differences or incomplete, 5 remote trouble (goes on \
                          later), 75 locked by another instance, 78 configuration";

/// Understood by every command.
#[derive(Debug, Clone, Args)]
pub struct GlobalArguments {
    /// The configuration [default: hourdrop.toml here, else /etc/hourdrop/hourdrop.toml]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Answer in JSON, errors too: one object, or one per line for lists
    #[arg(long, global = true)]
    pub json: bool,
    #[arg(long, value_name = "WHEN", value_enum, help = "Colours (NO_COLOR and CLICOLOR_FORCE are honoured)", default_value_t = ColorWhen::Auto, global = true)]
    pub color: ColorWhen,
    /// Show times in UTC instead of each feed's zone
    #[arg(long, global = true)]
    pub utc: bool,
    /// Say more; twice for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but the answer and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    // On a terminal.
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prove the configuration and read it back in plain words
    Check(CheckArguments),
    /// Show the exact bytes that a feed would write for an input
    Preview(PreviewArguments),
    /// Try out everything that a delivery to a partner needs, and recommend settings
    Probe(ProbeArguments),
    /// Read, close hours and deliver until stopped
    Run(RunArguments),
    /// Read everything there is, close what can be closed, deliver, and end
    Once(OnceArguments),
    /// How everything is doing, and what needs you (exit 4 when something does)
    Status(StatusArguments),
    /// What became of the records of every hour
    Hours(HoursArguments),
    /// The files of a feed or of one hour
    Files(FilesArguments),
    /// Everything about one hour or one file
    Show(ShowArguments),
    /// Records that could not be decoded, routed or written
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
    },
    /// Stop deliveries to a partner or of a feed, or the reading of a source, until `resume`
    Pause(PauseArguments),
    /// Let what was paused go on
    Resume(PauseArguments),
    /// Keep an open hour from being sealed, or a sealed one or a file from being sent, until `release`
    Hold(HoldArguments),
    /// Let a held hour or file go on
    Release(ReleaseArguments),
    /// Never send an hour, a file, or the records of a feed that wait; its numbers end as void
    Void(VoidArguments),
    /// Say what became of files that are in doubt or in conflict
    Settle(SettleArguments),
    /// Prove archive, manifests, ledger and journal again (exit 4 when something differs)
    Verify(VerifyArguments),
    /// Build a lost, damaged or rolled-back ledger again from the archive and its log
    Recover(RecoverArguments),
    /// Look at the journal of accepted records, and mend it after damage
    Spool {
        #[command(subcommand)]
        command: SpoolCommand,
    },
    /// Say that the machine's clock is right after it has jumped: sealing goes on by it
    AcceptClock(AcceptClockArguments),
    /// Check a file against a format, as the partner would (exit 4 when something is wrong)
    VerifyFile(VerifyFileArguments),
    /// Write a first configuration
    Init(InitArguments),
    /// A whole export in a few seconds, with a partner's FTP server built in
    Demo(DemoArguments),
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The configuration to prove, instead of --config
    pub file: Option<PathBuf>,
    /// Warnings count as errors
    #[arg(long)]
    pub deny_warnings: bool,
}

#[derive(Debug, Args)]
pub struct PreviewArguments {
    /// The feed: PARTNER/FEED, or one of both when that is enough
    pub feed: String,
    /// Inputs as the feed's source would read them; `-` is standard input
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// Show so many records
    #[arg(short = 'n', long = "records", default_value_t = 5, value_name = "COUNT")]
    pub records: u16,
    /// Show the written bytes in hexadecimal digits
    #[arg(long)]
    pub hex: bool,
    /// The feed's source, when it has several
    #[arg(long)]
    pub source: Option<String>,
}

#[derive(Debug, Args)]
pub struct ProbeArguments {
    /// The partner
    pub partner: String,
    /// Only this one of its `endpoints`, counted from 1
    #[arg(long, value_name = "N")]
    pub endpoint: Option<usize>,
}

#[derive(Debug, Args)]
pub struct RunArguments {}

#[derive(Debug, Args)]
pub struct OnceArguments {}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Keep the FTP server up, so that files can be taken as the partner would
    #[arg(long)]
    pub serve: bool,
}

/// Read the demo's state instead.
#[derive(Debug, Clone, Copy, Args)]
pub struct DemoState {
    /// Look at what `hourdrop demo` left in ./hourdrop-demo
    #[arg(long, conflicts_with = "config")]
    pub demo: bool,
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct HoursArguments {
    /// The feed: PARTNER/FEED, or one of both when that is enough [default: all]
    pub feed: Option<String>,
    /// From this time on: 2026-12-21T09:00, 2026-12-21, or RFC 3339; in the feed's zone
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Hours that begin before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The hours of one day: 2026-12-21
    #[arg(long, value_name = "DATE", conflicts_with_all = ["since", "until"])]
    pub day: Option<String>,
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct FilesArguments {
    /// The feed: PARTNER/FEED, or one of both when that is enough [default: all]
    pub feed: Option<String>,
    /// The hour: 2026-12-21T09:00 in the feed's zone, with offset where clocks went back, or RFC 3339
    pub hour: Option<String>,
    /// Whole hashes
    #[arg(long)]
    pub long: bool,
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A feed (then name the hour, too), or the name of a file
    #[arg(value_name = "FEED|FILENAME")]
    pub subject: String,
    /// The hour: 2026-12-21T09:00 in the feed's zone, with offset where clocks went back, or RFC 3339
    pub hour: Option<String>,
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List the records with position and reason
    List(QuarantineListArguments),
    /// Show one record; its content only with --raw
    Show(QuarantineShowArguments),
    /// Let records come in again, after the format or the configuration was mended
    Retry(QuarantineRetryArguments),
}

#[derive(Debug, Args)]
pub struct QuarantineListArguments {
    /// Only those that this feed could not take
    #[arg(long)]
    pub feed: Option<String>,
    /// Only those of this source
    #[arg(long)]
    pub source: Option<String>,
    /// Also those that came in again
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct QuarantineShowArguments {
    /// The number that `list` shows
    pub id: i64,
    /// Show the content, which may name subscribers
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct QuarantineRetryArguments {
    /// The numbers that `list` shows
    #[arg(required_unless_present_any = ["feed", "source"])]
    pub ids: Vec<i64>,
    /// All that this feed could not take
    #[arg(long)]
    pub feed: Option<String>,
    /// All of this source
    #[arg(long)]
    pub source: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

/// How long to wait for the instance that works.
#[derive(Debug, Clone, Args)]
pub struct Wait {
    /// While `run` works: how long to wait until it has done it
    #[arg(long, value_name = "LENGTH", default_value = "30s")]
    pub wait: String,
}

/// Every order says why.
#[derive(Debug, Clone, Args)]
pub struct Why {
    /// Why; kept in the history for ever
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub wait: Wait,
}

/// An hour of a feed, or a file.
#[derive(Debug, Clone, Args)]
pub struct TargetArguments {
    /// A feed (then name the hour, too), or the name of a file
    #[arg(value_name = "FEED|FILENAME")]
    pub subject: String,
    /// The hour: 2026-12-21T09:00 in the feed's zone, with offset where clocks went back, or RFC 3339
    pub hour: Option<String>,
    /// The feed of the file, when several have one of that name
    #[arg(long)]
    pub feed: Option<String>,
}

#[derive(Debug, Args)]
pub struct PauseArguments {
    /// A partner, a feed as PARTNER/FEED, or a source; partner:NAME and source:NAME where one name is both
    #[arg(value_name = "PARTNER|FEED|SOURCE")]
    pub subject: String,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, Args)]
pub struct HoldArguments {
    #[command(flatten)]
    pub target: TargetArguments,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, Args)]
pub struct ReleaseArguments {
    #[command(flatten)]
    pub target: TargetArguments,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, Args)]
pub struct VoidArguments {
    #[command(flatten)]
    pub target: TargetArguments,
    /// All records of the feed that wait to be sealed, hour by hour
    #[arg(long, conflicts_with = "hour")]
    pub waiting: bool,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, Args)]
pub struct SettleArguments {
    #[command(flatten)]
    pub target: TargetArguments,
    /// Everything of the feed that is in doubt or in conflict, or with `picked-up` everything that waits to be taken
    #[arg(long, conflicts_with = "hour")]
    pub all: bool,
    /// The partner has it; or it is sent again under the same name; or a delivered file was taken
    #[arg(long = "as", value_name = "WAY", value_enum)]
    pub how: SettleWay,
    #[command(flatten)]
    pub why: Why,
}

/// How a doubt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SettleWay {
    /// The partner has it.
    Delivered,
    /// It is sent again.
    Resend,
    /// The partner took it from where hourdrop cannot look any more.
    PickedUp,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The files of this feed only: PARTNER/FEED, or one of both when that is enough [default: everything]
    pub feed: Option<String>,
    /// The hour: 2026-12-21T09:00 in the feed's zone, with offset where clocks went back, or RFC 3339
    pub hour: Option<String>,
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// Why; kept in the history for ever
    #[arg(long)]
    pub reason: String,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Look into the partners' directories for higher numbers and for files that arrived
    #[arg(long)]
    pub ask_partners: bool,
    /// The archive is a backup: what it does not show as delivered is in doubt
    #[arg(long)]
    pub archive_from_backup: bool,
    /// What is in doubt of hours that ended before this time counts as delivered (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub delivered_before: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// List its segments, and the records that wait to be sealed
    List(SpoolListArguments),
    /// Check every frame and name what is damaged, and whom that touches (exit 4 when something is)
    Check(SpoolListArguments),
    /// Write the records that can be read as lines of JSON (exit 4 when some frames are damaged)
    Export(SpoolExportArguments),
    /// Put damaged segments aside and let the rest go on
    Salvage(SpoolSalvageArguments),
}

#[derive(Debug, Args)]
pub struct SpoolListArguments {
    #[command(flatten)]
    pub state: DemoState,
}

#[derive(Debug, Args)]
pub struct SpoolExportArguments {
    /// The directory for `records.jsonl`, which must not exist yet; `-` is standard output
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Only what this feed takes, with the hour and whether it is sealed
    #[arg(long)]
    pub feed: Option<String>,
    /// Only records of this source
    #[arg(long)]
    pub source: Option<String>,
    /// Only records in these frames: 3..7, 3.., ..7 or 3
    #[arg(long, value_name = "A..B")]
    pub lsn: Option<String>,
    /// With the content, which may name subscribers
    #[arg(long)]
    pub content: bool,
}

#[derive(Debug, Args)]
pub struct SpoolSalvageArguments {
    /// Why; kept in the history for ever
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct AcceptClockArguments {
    /// Why; kept in the history for ever
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct VerifyFileArguments {
    /// A name in formats/ beside the configuration, or the path of a format file
    #[arg(long, value_name = "FORMAT")]
    pub format: String,
    /// The files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct InitArguments {
    /// Where to write
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Guess format, fields and times from this file
    #[arg(long, value_name = "FILE")]
    pub from_sample: Option<PathBuf>,
    /// Name of source, feed and format [default: from the sample's name]
    #[arg(long)]
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
