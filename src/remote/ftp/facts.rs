//! What an FTP server tells of itself when it is asked.

use super::super::facts::{PassiveFacts, SessionFacts};
use super::super::fault::clean_reply;
use super::super::{Outcome, RemoteFault};
use super::control::Control;
use super::reply::Reply;
use std::net::Ipv4Addr;

const OPERATION: &str = "facts";
/// Commands that tell hashes without being a standard.
const HASH_COMMANDS: [&str; 6] = ["XSHA512", "XSHA256", "XSHA1", "XSHA", "XMD5", "XCRC"];

/// Asks. The data connections that are announced are never opened: the next command for one takes their place.
pub(super) fn ask(control: &mut Control, listing: &'static str) -> Result<SessionFacts, RemoteFault> {
    let mut ask = |command: &str| control.exchange(OPERATION, command, Outcome::NotDone);
    let system = ask("SYST")?;
    let features = ask("FEAT")?;
    let extended = ask("EPSV")?;
    let plain = ask("PASV")?;
    let features = if features.code() == 211 { feature_lines(features.text()) } else { Vec::new() };
    Ok(SessionFacts {
        system: system.is_positive().then(|| clean_reply(system.text())),
        hashes: hashes(&features),
        features,
        listing,
        passive: Some(PassiveFacts {
            extended: extended_port(&extended).ok_or_else(|| refusal(&extended)),
            plain: plain_address(&plain).ok_or_else(|| refusal(&plain)),
        }),
    })
}

fn refusal(reply: &Reply) -> String {
    format!("{} {}", reply.code(), clean_reply(reply.text()))
}

/// The lines between the first and the last of a reply to FEAT.
#[must_use]
pub fn feature_lines(text: &str) -> Vec<String> {
    let lines = text.lines().skip(1).filter(|line| !line.starts_with("211"));
    lines.map(clean_reply).filter(|line| !line.is_empty()).collect()
}

/// `HASH SHA-256;SHA-1*` (draft-bryan-ftp-hash) and the commands that servers invented before.
#[must_use]
pub fn hashes(features: &[String]) -> Vec<String> {
    let words = features.iter().filter_map(|line| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let word = word.to_ascii_uppercase();
        if word == "HASH" {
            let algorithms = rest.split(';').map(|name| name.trim().trim_end_matches('*'));
            return Some(algorithms.filter(|name| !name.is_empty()).map(|name| format!("HASH {name}")).collect());
        }
        HASH_COMMANDS.contains(&word.as_str()).then(|| vec![word])
    });
    words.collect::<Vec<Vec<String>>>().concat()
}

/// `229 Entering Extended Passive Mode (|||6446|)`, RFC 2428, 3.
#[must_use]
pub fn extended_port(reply: &Reply) -> Option<u16> {
    if reply.code() != 229 {
        return None;
    }
    let inside = reply.text().split_once('(')?.1.split_once(')')?.0;
    let delimiter = inside.chars().next()?;
    inside.split(delimiter).nth(3)?.parse().ok()
}

/// `227 Entering Passive Mode (127,0,0,1,25,46)`, RFC 959. Some servers leave the brackets out.
#[must_use]
pub fn plain_address(reply: &Reply) -> Option<(Ipv4Addr, u16)> {
    if reply.code() != 227 {
        return None;
    }
    let is_part = |c: char| c.is_ascii_digit() || c == ',';
    let list = reply.text().split(|c| !is_part(c)).find(|part| part.contains(','))?;
    let numbers: Vec<u8> = list.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [a, b, c, d, high, low] = *numbers.as_slice() else { return None };
    Some((Ipv4Addr::new(a, b, c, d), u16::from(high) * 256 + u16::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::read(text.as_bytes()).expect("reply")
    }

    #[test]
    fn features_and_hashes_of_real_servers_are_read() {
        let lines = feature_lines("Features:\r\n EPSV\r\n HASH SHA-256;SHA-1*\r\n XSHA256\r\n SITE MD5\r\n211 End\r\n");
        assert_eq!(lines, ["EPSV", "HASH SHA-256;SHA-1*", "XSHA256", "SITE MD5"]);
        assert_eq!(hashes(&lines), ["HASH SHA-256", "HASH SHA-1", "XSHA256"]);
    }

    #[test]
    fn announced_addresses_are_read_or_refused() {
        assert_eq!(extended_port(&reply("229 Entering Extended Passive Mode (|||6446|)")), Some(6446));
        assert_eq!(extended_port(&reply("229 ok (!!!21!)")), Some(21));
        for bad in ["229 ok", "229 (|||x|)", "500 (|||6446|)", "229 (|||70000|)"] {
            assert_eq!(extended_port(&reply(bad)), None, "{bad}");
        }
        let address = Some((Ipv4Addr::new(10, 0, 0, 7), 25 * 256 + 46));
        for good in ["227 Entering Passive Mode (10,0,0,7,25,46).", "227 =10,0,0,7,25,46"] {
            assert_eq!(plain_address(&reply(good)), address, "{good}");
        }
        for bad in ["227 no", "227 (10,0,0,7,25)", "227 (300,0,0,7,25,1)", "500 (10,0,0,7,25,46)"] {
            assert_eq!(plain_address(&reply(bad)), None, "{bad}");
        }
    }
}
