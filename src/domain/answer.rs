//! What a partner answers about our files (回执): accepted or rejected, whole or single records.

use std::collections::BTreeMap;

/// What became of a file, by the partner's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The partner has accepted it.
    Accepted,
    /// It has rejected it, or records of it: a person has to look.
    Rejected,
    /// A person has settled it.
    Settled,
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Accepted, Self::Rejected, Self::Settled];

    /// The word that the ledger stores.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Settled => "settled",
        }
    }

    /// The verdict that [`Verdict::word`] names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The name of our file.
    pub file: String,
    /// Accepted, or not.
    pub is_accepted: bool,
    /// Speaks of one record only.
    pub is_of_record: bool,
    /// Why.
    pub reason: String,
}

/// What an answer says about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVerdict {
    /// Accepted or rejected.
    pub verdict: Verdict,
    /// Records that were rejected; 0 when the whole file was.
    pub records: u64,
    /// Why, in the partner's words: the first reason given.
    pub reason: String,
}

/// What an answer says about each file it names.
///
/// # Errors
/// The name of a file that is accepted and rejected as a whole.
pub fn sum_up(statements: &[Statement]) -> Result<BTreeMap<String, FileVerdict>, String> {
    #[derive(Default)]
    struct Sum {
        accepted: bool,
        rejected: bool,
        records: u64,
        reason: String,
    }
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for statement in statements {
        let sum = sums.entry(statement.file.clone()).or_default();
        match (statement.is_accepted, statement.is_of_record) {
            (true, false) => sum.accepted = true,
            (true, true) => {}
            (false, false) => sum.rejected = true,
            (false, true) => sum.records += 1,
        }
        if !statement.is_accepted && sum.reason.is_empty() {
            sum.reason.clone_from(&statement.reason);
        }
    }
    let judge = |(file, sum): (String, Sum)| {
        if sum.accepted && sum.rejected {
            return Err(file);
        }
        let is_rejected = sum.rejected || sum.records > 0;
        let verdict = if is_rejected { Verdict::Rejected } else { Verdict::Accepted };
        let records = if sum.rejected { 0 } else { sum.records };
        Ok((file, FileVerdict { verdict, records, reason: sum.reason }))
    };
    sums.into_iter().map(judge).collect()
}

/// What the answers say about a batch, of whose files it is given whether each is the manifest and what was said of it.
/// The manifest speaks for the whole; without it all part files must have been answered. An hour without part files needs
/// no answer.
#[must_use]
pub fn of_batch(files: &[(bool, Option<Verdict>)]) -> Option<Verdict> {
    if files.iter().any(|(_, verdict)| *verdict == Some(Verdict::Rejected)) {
        return Some(Verdict::Rejected);
    }
    let manifest = files.iter().find(|(is_manifest, _)| *is_manifest).and_then(|(_, verdict)| *verdict);
    let mut parts = files.iter().filter(|(is_manifest, _)| !is_manifest);
    (manifest.is_some() || parts.all(|(_, verdict)| verdict.is_some())).then_some(Verdict::Accepted)
}

/// A file of a batch: what was said of it before, and what a new answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredFile {
    /// Its name.
    pub name: String,
    /// It is the manifest.
    pub is_manifest: bool,
    /// What was said before.
    pub before: Option<Verdict>,
    /// What the answer says.
    pub now: Option<FileVerdict>,
}

impl AnsweredFile {
    /// What the answer is the first to say of the file.
    fn news(&self) -> Option<Verdict> {
        self.now.as_ref().filter(|_| self.before.is_none()).map(|said| said.verdict)
    }
}

/// Words about two files of a batch that do not go together: the one that is spoken of now, and the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discord<'f> {
    /// With the other one an answer before said the opposite.
    WithBefore(&'f AnsweredFile, &'f AnsweredFile),
    /// The same answer rejects the first, and accepts the manifest.
    InOneAnswer(&'f AnsweredFile, &'f AnsweredFile),
}

/// The manifest stands for its whole batch: who has accepted it cannot reject a part file, and who has accepted all part
/// files cannot reject the manifest. One answer may accept a batch except for some records.
#[must_use]
pub fn discord(files: &[AnsweredFile]) -> Option<Discord<'_>> {
    let manifest = files.iter().find(|file| file.is_manifest)?;
    let mut parts = files.iter().filter(|file| !file.is_manifest);
    let is_whole = |part: &AnsweredFile| part.now.as_ref().is_some_and(|said| said.records == 0);
    match manifest.news() {
        Some(Verdict::Accepted) => parts.find_map(|part| match (part.before, part.news()) {
            (Some(Verdict::Rejected), _) if part.now.is_none() => Some(Discord::WithBefore(manifest, part)),
            (_, Some(Verdict::Rejected)) if is_whole(part) => Some(Discord::InOneAnswer(part, manifest)),
            _ => None,
        }),
        Some(Verdict::Rejected) => {
            let first = parts.clone().next()?;
            let is_accepted = |part: &AnsweredFile| part.before.is_some_and(|before| before != Verdict::Rejected);
            parts.all(is_accepted).then_some(Discord::WithBefore(manifest, first))
        }
        Some(Verdict::Settled) | None if manifest.before == Some(Verdict::Accepted) => {
            let part = parts.find(|part| part.news() == Some(Verdict::Rejected))?;
            Some(Discord::WithBefore(part, manifest))
        }
        Some(Verdict::Settled) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(file: &str, is_accepted: bool, is_of_record: bool) -> Statement {
        Statement { file: file.to_owned(), is_accepted, is_of_record, reason: format!("{file} why") }
    }

    #[test]
    fn statements_about_a_file_are_summed_up() {
        let found = sum_up(&[
            statement("a", true, false),
            statement("b", true, false),
            statement("b", false, true),
            statement("b", false, true),
            statement("c", false, false),
            statement("c", false, true),
            statement("d", true, true),
        ])
        .expect("no contradiction");
        let said: Vec<(&str, Verdict, u64)> =
            found.iter().map(|(name, file)| (name.as_str(), file.verdict, file.records)).collect();
        assert_eq!(
            said,
            [
                ("a", Verdict::Accepted, 0),
                ("b", Verdict::Rejected, 2),
                ("c", Verdict::Rejected, 0),
                ("d", Verdict::Accepted, 0)
            ]
        );
        assert_eq!(found["b"].reason, "b why");
        assert_eq!(sum_up(&[statement("a", true, false), statement("a", false, false)]), Err("a".to_owned()));
    }

    #[test]
    fn a_batch_is_answered_by_its_manifest_or_by_all_of_its_files() {
        let (yes, no, settled) = (Some(Verdict::Accepted), Some(Verdict::Rejected), Some(Verdict::Settled));
        for (manifest, parts, expected) in [
            (None, vec![None], None),
            (yes, vec![None], yes),
            (None, vec![yes, None], None),
            (None, vec![yes, yes], yes),
            (None, vec![yes, settled], yes),
            (yes, vec![yes, no], no),
            (no, vec![yes], no),
            (None, vec![], yes),
        ] {
            let mut files: Vec<(bool, Option<Verdict>)> = parts.into_iter().map(|part| (false, part)).collect();
            files.push((true, manifest));
            assert_eq!(of_batch(&files), expected, "{files:?}");
        }
    }

    #[test]
    fn verdicts_are_stored_as_words() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::parse(verdict.word()), Some(verdict));
        }
    }
}
