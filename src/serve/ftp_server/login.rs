//! Who may come in, how fast passwords may be tried, and how many sessions there may be.

use super::{Access, Account};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Longest delay of an answer to an address that has tried wrong passwords.
const ADDRESS_DELAY_MAX: Duration = Duration::from_secs(30);
/// Longest delay for a user whose password others have tried: it must not keep out the user.
const USER_DELAY_MAX: Duration = Duration::from_secs(4);
/// After so long without a try, wrong passwords are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// Most addresses and users that are remembered.
const REMEMBERED_MAX: usize = 4096;

/// An account as sessions see it. Of the password only its hash is kept.
#[derive(Debug)]
pub(super) struct KnownAccount {
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) access: Access,
    password: [u8; 32],
}

/// Who may log in.
#[derive(Debug)]
pub(super) struct Accounts(Vec<Arc<KnownAccount>>);

impl Accounts {
    pub(super) fn of(accounts: &[Account]) -> Self {
        let known = |account: &Account| {
            Arc::new(KnownAccount {
                name: account.name.clone(),
                root: account.root.clone(),
                access: account.access.clone(),
                password: hash(account.password.expose_secret().as_bytes()),
            })
        };
        Self(accounts.iter().map(known).collect())
    }

    /// The account of this name, if the password is right. It takes as long for a name that nobody has.
    pub(super) fn find(&self, name: &str, password: &[u8]) -> Option<Arc<KnownAccount>> {
        let given = hash(password);
        let account = self.0.iter().find(|account| account.name == name);
        let expected = account.map_or([0; 32], |account| account.password);
        let is_right = bool::from(given.ct_eq(&expected));
        account.filter(|_| is_right).cloned()
    }

    /// Whether there is such a name. Others are not logged: people type passwords there.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|account| account.name == name)
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    /// Of version 6 the network: one client has a whole one.
    Address(IpAddr),
    User(String),
}

impl Subject {
    const fn delay_max(&self) -> Duration {
        match self {
            Self::Address(_) => ADDRESS_DELAY_MAX,
            Self::User(_) => USER_DELAY_MAX,
        }
    }
}

/// Remembers tries that have not succeeded, by address and by user.
#[derive(Debug)]
pub(super) struct Throttle {
    first: Duration,
    tries: HashMap<Subject, (u32, Instant)>,
}

impl Throttle {
    pub(super) fn new(first: Duration) -> Self {
        Self { first, tries: HashMap::new() }
    }

    /// Notes a try and says how long its answer has to wait. Until it succeeds it counts as a failed one, so tries at
    /// the same time gain nothing.
    pub(super) fn note_try(&mut self, peer: IpAddr, user: &str, now: Instant) -> Duration {
        self.tries.retain(|_, (_, at)| now.saturating_duration_since(*at) < FORGOTTEN_AFTER);
        let mut wait = Duration::ZERO;
        for subject in subjects(peer, user) {
            self.make_room(&subject);
            let longest = subject.delay_max();
            let (failed, at) = self.tries.entry(subject).or_insert((0, now));
            if let Some(doublings) = failed.checked_sub(1) {
                let delay = self.first.saturating_mul(2u32.saturating_pow(doublings));
                wait = wait.max(delay.min(longest));
            }
            *failed = failed.saturating_add(1);
            *at = now;
        }
        wait
    }

    pub(super) fn note_success(&mut self, peer: IpAddr, user: &str) {
        for subject in subjects(peer, user) {
            self.tries.remove(&subject);
        }
    }

    fn make_room(&mut self, subject: &Subject) {
        if self.tries.len() < REMEMBERED_MAX || self.tries.contains_key(subject) {
            return;
        }
        let oldest = self.tries.iter().min_by_key(|(_, (_, at))| *at).map(|(subject, _)| subject.clone());
        if let Some(oldest) = oldest {
            self.tries.remove(&oldest);
        }
    }
}

fn subjects(peer: IpAddr, user: &str) -> [Subject; 2] {
    let network = match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    };
    [Subject::Address(network), Subject::User(user.to_owned())]
}

/// The places of sessions.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    most_per_address: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
    left: Notify,
}

/// One taken place.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self { most, most_per_address, taken: Mutex::default(), left: Notify::new() }
    }

    /// A place for a client at this address, unless there are too many.
    pub(super) fn take(seats: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        let mut taken = lock(&seats.taken);
        let (all, of_address) = (taken.values().sum::<usize>(), taken.get(&address).copied().unwrap_or(0));
        if all >= seats.most || of_address >= seats.most_per_address {
            return None;
        }
        taken.insert(address, of_address + 1);
        drop(taken);
        Some(Seat { seats: Arc::clone(seats), address })
    }

    /// Waits until everybody has left.
    pub(super) async fn until_empty(&self) {
        while !lock(&self.taken).is_empty() {
            self.left.notified().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.seats.taken);
        let rest = taken.remove(&self.address).unwrap_or(0).saturating_sub(1);
        if rest > 0 {
            taken.insert(self.address, rest);
        }
        drop(taken);
        self.seats.left.notify_one();
    }
}

/// Nothing behind these locks is left half changed by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn each_wrong_password_doubles_the_delay_up_to_a_limit() {
        let (mut throttle, now) = (Throttle::new(Duration::from_secs(1)), Instant::now());
        let mut waits = |peer: &str, user: &str| throttle.note_try(address(peer), user, now).as_secs();
        let seen: Vec<u64> = (0..8).map(|_| waits("192.0.2.1", "acme")).collect();
        assert_eq!(seen, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits("192.0.2.1", "bell"), 30, "another user from the same address");
        assert_eq!(waits("192.0.2.2", "acme"), 4, "the user from elsewhere waits a little only");
        assert_eq!(waits("192.0.2.3", "other"), 0);
        assert_eq!(waits("2001:db8::1", "x"), 0);
        assert_eq!(waits("2001:db8::2", "y"), 1, "one network counts as one client");
    }

    #[test]
    fn a_right_password_and_time_make_up_for_wrong_ones() {
        let (mut throttle, now, peer) = (Throttle::new(Duration::from_secs(1)), Instant::now(), address("192.0.2.1"));
        assert_eq!(throttle.note_try(peer, "acme", now), Duration::ZERO);
        throttle.note_success(peer, "acme");
        assert_eq!(throttle.note_try(peer, "acme", now), Duration::ZERO);
        assert_eq!(throttle.note_try(peer, "acme", now + Duration::from_secs(899)), Duration::from_secs(1));
        assert_eq!(throttle.note_try(peer, "acme", now + Duration::from_secs(1799)), Duration::ZERO);
    }

    #[test]
    fn a_flood_of_names_does_not_fill_the_memory() {
        let (mut throttle, now) = (Throttle::new(Duration::from_secs(1)), Instant::now());
        for number in 0..REMEMBERED_MAX + 100 {
            throttle.note_try(address("192.0.2.1"), &number.to_string(), now);
        }
        assert!(throttle.tries.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn places_are_limited_in_all_and_by_address() {
        let seats = Arc::new(Seats::new(3, 2));
        let take = |peer: &str| Seats::take(&seats, address(peer));
        let (one, two) = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(one.is_some() && two.is_some() && take("192.0.2.1").is_none());
        let three = take("192.0.2.2");
        assert!(three.is_some() && take("192.0.2.3").is_none());
        drop(one);
        assert!(take("192.0.2.3").is_some(), "a free place is taken, and given back at once");
        drop((two, three));
        assert!(lock(&seats.taken).is_empty());
    }
}
