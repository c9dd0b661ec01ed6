//! # hourdrop: architecture
//!
//! hourdrop takes records in, buffers them durably, writes hourly files in the layout that each partner defines, writes
//! a manifest that says which files make up the hour, keeps an identical archive, and delivers to the partner's
//! directory. Every record is money: nothing is lost, nothing is sent twice, and the archive proves it.
//!
//! ## Bird's view
//! ```text
//! sources -> intake -> spool -> seal -> archive -> deliver -> partner
//!              (every arrow leaves a fact in the ledger; `app` decides, nobody else)
//! ```
//! 1. [`intake`] decodes what a source holds into blocks of records, with the position behind each block.
//! 2. [`spool`] makes a group of blocks durable. From then on the records are *accepted*; the input may be put away. Large
//!    input files are kept and referred to instead of being copied: [`spool::adopted`].
//! 3. [`feed`] says for every record and feed whether the feed takes it and to which hour it belongs.
//! 4. [`seal`] closes hours, records a plan (cut, numbers, names, creation time, definition) in the [`ledger`], and
//!    renders the hour from spool and plan. Rendering again gives the same bytes, so a crash costs nothing but time.
//!    Hours are rendered while their records are accepted, too: a cache, see [`seal::draft`].
//! 5. [`archive`] gives each file its place, durably, before the first byte of it leaves.
//! 6. [`deliver`] uploads to a temporary name, verifies, renames, part files in sequence order and the manifest last;
//!    each intent is recorded before the act, and a lost reply leads to looking, not to repeating.
//!
//! ## Code map and rank table
//! A module names modules of lower rank only; a test reads the source and checks it.
//!
//! | rank | module | owns | must never |
//! |---|---|---|---|
//! | 0 | [`domain`] | ids, time, hours in every zone, counters, the lives of a batch and of a file | do I/O, read a clock |
//! | 1 | [`disk`], [`clock`], [`document`] | the seams to the machine; TOML with all problems at their places | know what a record or a partner is |
//! | 2a | [`record`] | blocks of records, exact decimals, what a spool frame holds | do I/O |
//! | 2b | [`format`] | format files: decode, encode, filter language, templates, manifests, verification | do I/O: bytes in, bytes out |
//! | 2c | [`feed`] | definition, routing, names, pending hours of a feed | do I/O |
//! | 3 | [`spool`], [`remote`], [`ledger`] | the journal; sessions with a partner's server; every decision and its outcome | spool: know records; remote: retry or sleep; ledger: decide |
//! | 4 | [`intake`], [`mod@seal`], [`archive`] | reading sources; closing and rendering hours; the archive directory | name each other or the ledger |
//! | 5 | [`deliver`] | the way of one file to one partner | open a file, name the ledger |
//! | 6 | [`app`] | configuration; `once` and `run`: the only place where things happen | format text for people |
//! | 7 | [`serve`], [`cli`], `main` | the built-in FTP server; commands and screens (`cli` may show ledger rows and definitions) | decide about data |
//!
//! ## Invariants, many of them absences
//! - *Archived bytes are the uploaded bytes*: `deliver` is given readers of the archive and nothing else.
//! - *A manifest is visible only after every part file is verified.*
//! - *A sealed name is never written again*: [`disk::Disk::rename`] replaces nothing, here or at the partner.
//! - *Fact before act, fact after act*: plans and intents are committed before what they permit.
//! - *What cannot be taken back is in the archive's log first*: see `tell` in `app/shared_ledger.rs`. So a ledger that is
//!   lost is built again, and one that was rolled back is noticed.
//! - *No record leaves the spool before its batch is sealed and recorded*: see `free_spool` in `app/sealing.rs`.
//! - *Same input, same bytes*: everything that is not a pure function of the spool lies in the plan.
//! - *The clock alone never seals*: [`seal::closing`] is a pure function of hours, sources and one moment; and a wall
//!   clock that has jumped seals nothing: [`app::clock_watch`].
//! - *A partner's deletion is announced before it is done*, and what was announced is looked after at the next start:
//!   [`app::pickup_desk`].
//! - *What was counted is what is sealed*: `app/sealing/balance.rs`. Damage is named, never skipped: [`spool::survey`].
//! - There is no float, no global state, and no partner's name in an `if`.
//! - Values of records and secrets appear in no error and no log line.
//!
//! ## Seams
//! [`disk::Disk`], [`clock::Clock`], [`remote::Remote`], [`intake::Source`]. Nothing else is a trait with behaviour;
//! formats are a closed enum.
//!
//! ## Checklists
//! To add a **source kind**: a file in `intake/` that implements [`intake::Source`]; its keys in
//! `app/config/source.rs`; a line in `open_sources` of `app/exporter/open.rs`; tests with replay after a crash.
//!
//! To add a **format kind**: a variant of [`format::dialect::FormatKind`]; files in `format/decode/`,
//! `format/encode/` and `format/verify/`; golden bytes in the tests; the format reference in `README.md`.
//!
//! To add a **remote**: a file in `remote/` that implements [`remote::Remote`] and states its abilities; a variant of
//! [`remote::Endpoint`]; a server in `tests/it/servers.rs`, so that the whole suite runs against it.
//!
//! To add a **fact about a file**: a variant of [`domain::delivery::DeliveryFact`], its arrows in `FileState::apply`
//! and in the table test, its words in `ledger/delivery.rs`.
//!
//! To add an **order** of a person: a variant of [`app::operator::Order`]; what it changes in `app/operator/`; its words
//! in `app/requests/codec.rs`; its command in `cli/operator.rs`; its column in `tests/it/operator/matrix.rs`.

pub mod app;
pub mod archive;
pub mod cli;
pub mod clock;
pub mod deliver;
pub mod disk;
pub mod document;
pub mod domain;
pub mod feed;
pub mod format;
pub mod intake;
pub mod ledger;
pub mod record;
pub mod remote;
pub mod seal;
pub mod serve;
pub mod spool;
