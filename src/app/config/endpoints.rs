//! Where a partner's files go: `deliver`, or `endpoints` in the order in which they are tried.

use super::partner::label;
use crate::document::{Placed, Table};
use crate::remote::endpoint::Protection;
use crate::remote::{Address, Endpoint};
use std::path::Path;

/// The servers of a partner, the first one first; empty when none can be used.
pub(super) fn read(config: &Path, table: &Table<'_>) -> Vec<Address> {
    if !table.has("endpoints") {
        let text = table.required_text("deliver");
        return text.and_then(|text| read_address(config, table, text)).into_iter().collect();
    }
    if table.has("deliver") {
        let hint = "put that address into `endpoints`, where they are tried in order, and leave `deliver` out";
        let message = "`deliver` and `endpoints` exclude each other";
        table.problems().add(table.place_of("deliver").error_with_hint(message, hint));
        table.text("deliver");
    }
    let texts = table.texts("endpoints").unwrap_or_default();
    if texts.is_empty() {
        let message = "`endpoints` names no server";
        let hint = "write endpoints = [\"sftp://…\", \"ftps://…\"], the one to be tried first in front";
        table.problems().add(table.place_of("endpoints").error_with_hint(message, hint));
    }
    let mut addresses: Vec<Address> = Vec::new();
    for text in texts {
        let place = text.place.clone();
        let Some(address) = read_address(config, table, text) else { return Vec::new() };
        if addresses.iter().any(|known| label(known) == label(&address)) {
            let hint = "an endpoint is another server, port or account than those before it";
            table.problems().add(place.error_with_hint("this server and account stand there already", hint));
        }
        addresses.push(address);
    }
    addresses
}

/// `formerly`: addresses that the first server had before.
pub(super) fn read_former(config: &Path, table: &Table<'_>, addresses: &[Address]) -> Vec<Address> {
    let texts = table.texts("formerly").unwrap_or_default();
    let mut former = Vec::new();
    for text in texts {
        let place = text.place.clone();
        let Some(address) = parse(config, table, text) else { continue };
        let is_same = |now: &Address| label(now) == label(&address) && now.directory == address.directory;
        let is_standby = addresses.iter().skip(1).any(|now| label(now) == label(&address));
        if addresses.first().is_some_and(is_same) || is_standby {
            let hint =
                "`formerly` names where the first server, or its directory, was before; leave out what is used now";
            table.problems().add(place.error_with_hint("this place is in use", hint));
        }
        former.push(address);
    }
    former
}

fn read_address(config: &Path, table: &Table<'_>, text: Placed<String>) -> Option<Address> {
    let place = text.place.clone();
    let address = parse(config, table, text)?;
    if matches!(&address.endpoint, Endpoint::Ftp(ftp) if ftp.protection == Protection::None) {
        let message = "plain FTP shows password and records to everyone on the way";
        let hint = "fine on a private line: the `ftp://` in the address counts as consent";
        table.problems().add(place.warning(message, hint));
    }
    Some(address)
}

fn parse(config: &Path, table: &Table<'_>, mut text: Placed<String>) -> Option<Address> {
    if !text.value.contains("://") && !text.value.starts_with('/') {
        let path = super::resolve(config, &text.value);
        text.value = std::path::absolute(&path).unwrap_or(path).display().to_string();
    }
    let parsed = Endpoint::parse_url(&text.value);
    parsed.map_err(|fault| table.problems().add(text.place.error(fault.to_string()))).ok()
}
