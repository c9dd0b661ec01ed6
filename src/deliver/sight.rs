//! The proof that a listing shows what is there: a small file of ours that is put into the directory shows, too.

use crate::remote::{Remote, RemoteEntry, RemoteFault, RemotePath};

/// Puts a small file under `probe`, does something, and removes it again.
pub(super) fn with_probe<T>(
    session: &mut dyn Remote,
    probe: &RemotePath,
    act: impl FnOnce(&mut dyn Remote) -> Result<T, RemoteFault>,
) -> Result<T, RemoteFault> {
    const CONTENT: &[u8] = b"\n";
    session.remove(probe)?;
    session.upload(probe, &mut &*CONTENT, 1, &mut |_| ())?;
    let done = act(session)?;
    session.remove(probe)?;
    Ok(done)
}

/// What the directory of `probe` holds, as proven by a file that is put under `probe`; it is left out. `None` when the
/// listing does not show that file: then it says nothing about others.
///
/// # Errors
/// [`RemoteFault`]; drop the session.
pub fn list_proven(session: &mut dyn Remote, probe: &RemotePath) -> Result<Option<Vec<RemoteEntry>>, RemoteFault> {
    let mut entries = with_probe(session, probe, |session| session.list(&probe.parent()))?;
    let all = entries.len();
    entries.retain(|entry| entry.name != probe.name());
    Ok((entries.len() < all).then_some(entries))
}
