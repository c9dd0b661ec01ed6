//! `dropped_files`: who may do what with files in a directory of this machine, or that they are hard links to the archive.

use crate::disk::file_system;
use crate::document::{Placed, Table};
use crate::remote::local_dir::{DropAccess, DropRule};
use crate::remote::{Address, Endpoint, accounts};
use std::path::Path;

/// Permission bits: for owner, group and others each read, write and execute.
const MODE_BITS: u32 = 0o777;
const OWNER_READS: u32 = 0o400;
const OTHERS: u32 = 0o007;

/// `dropped_files = { group = "ftp", mode = "0640" }` or `{ hard_link = true }`. It is the same for all directories of a
/// partner.
pub(super) fn read(archive: &Path, table: &Table<'_>, addresses: &mut [Address]) {
    let Some(inner) = table.table("dropped_files") else { return };
    let owner = inner.text("owner").map(|name| known(&inner, name, "user", accounts::user));
    let group = inner.text("group").map(|name| known(&inner, name, "group", accounts::group));
    let mode = inner.text("mode").and_then(|mode| read_mode(&inner, &mode));
    let is_linked = inner.bool("hard_link").is_some_and(|link| link.value);
    let others = ["owner", "group", "mode"];
    if let (true, Some(key)) = (is_linked, others.into_iter().find(|key| inner.has(key))) {
        let message = format!("`hard_link` and `{key}` exclude each other: the archived file would change, too");
        let hint =
            "leave `hard_link` out, or let the partner's account read what the archive's files (mode 0440) allow";
        inner.problems().add(inner.place_of(key).error_with_hint(message, hint));
    }
    let link = inner.place_of("hard_link");
    inner.finish();
    let rule = if is_linked { DropRule::Linked } else { DropRule::Copied(DropAccess { mode, owner, group }) };
    let mut is_used = false;
    for address in addresses {
        let Endpoint::LocalDir { path, rule: drop } = &mut address.endpoint else { continue };
        (*drop, is_used) = (rule.clone(), true);
        let file_systems = (file_system(archive), file_system(path));
        if is_linked && matches!(file_systems, (Some(archive), Some(drop)) if archive != drop) {
            let message = format!("{} and the archive are on two file systems", path.display());
            let hint =
                "nothing is delivered (HD0210) until both are on one; leave `hard_link` out to have files copied";
            table.problems().add(link.warning(message, hint));
        }
    }
    if !is_used {
        let message = "`dropped_files` is for a directory of this machine only";
        let hint = "on a server the account that logs in owns the files; leave `dropped_files` out";
        table.problems().add(table.place_of("dropped_files").error_with_hint(message, hint));
    } else if is_linked {
        let message = "archive and drop directory share each file: what changes it in one changes it in the other";
        let hint = "fine for a partner that only reads and deletes; `hourdrop verify` shows when one did more";
        table.problems().add(link.warning(message, hint));
    }
}

/// A user or group, which may be missing on this machine now.
fn known(table: &Table<'_>, name: Placed<String>, kind: &str, find: impl Fn(&str) -> Result<u32, String>) -> String {
    if let Err(reason) = find(&name.value) {
        let hint =
            format!("write the name of a {kind}, or its number; nothing is delivered (HD0210) while it is unknown");
        table.problems().add(name.place.warning(reason, hint));
    }
    name.value
}

fn read_mode(table: &Table<'_>, text: &Placed<String>) -> Option<u32> {
    let is_octal = matches!(text.value.len(), 3 | 4) && text.value.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = if is_octal { u32::from_str_radix(&text.value, 8).ok() } else { None };
    let Some(mode) = mode.filter(|mode| mode & !MODE_BITS == 0 && mode & OWNER_READS != 0) else {
        let message = format!("`mode` must be octal as for chmod, and let the owner read: found \"{}\"", text.value);
        table.problems().add(text.place.error_with_hint(message, "write \"0640\" or \"0660\""));
        return None;
    };
    if mode & OTHERS != 0 {
        let message = "everybody with an account on this machine gets at the records";
        let hint = "write \"0640\", and a `group` that the FTP server's account is in";
        table.problems().add(text.place.warning(message, hint));
    }
    Some(mode)
}
