//! Users and groups of this machine, by name or number.

use nix::unistd::{Group, User};

/// Number of a user.
///
/// # Errors
/// Why there is none, for people.
pub fn user(name: &str) -> Result<u32, String> {
    number(name, "user", |name| User::from_name(name).map(|user| user.map(|user| user.uid.as_raw())))
}

/// Number of a group.
///
/// # Errors
/// Why there is none, for people.
pub fn group(name: &str) -> Result<u32, String> {
    number(name, "group", |name| Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw())))
}

fn number(name: &str, kind: &str, find: impl Fn(&str) -> nix::Result<Option<u32>>) -> Result<u32, String> {
    // The last number stands for none at all.
    if let Some(number) = name.parse().ok().filter(|number| *number < u32::MAX) {
        return Ok(number);
    }
    let (found, name) = (find(name), name.escape_debug());
    match found {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(format!("there is no {kind} `{name}` on this machine")),
        Err(errno) => Err(format!("the {kind} `{name}` cannot be looked up: {errno}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_known_and_others_are_named() {
        assert_eq!((user("root"), group("root"), user("4000000"), group("7")), (Ok(0), Ok(0), Ok(4_000_000), Ok(7)));
        for nobody in ["no such account", "-1", "4294967295", ""] {
            let (user, group) = (user(nobody).expect_err(nobody), group(nobody).expect_err(nobody));
            assert!(user.contains(&format!("user `{nobody}`")) && group.contains(&format!("group `{nobody}`")));
        }
    }
}
