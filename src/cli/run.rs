//! Reads, closes and delivers until it is stopped.

use super::arguments::RunArguments;
use super::pickup_server;
use super::work::{Log, begin_log, failure, open, remember, store_failure, world};
use super::{Answer, Context, Failure};
use crate::app::config::Config;
use crate::app::exporter::World;
use crate::app::store::refuse_locked;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The command. SIGTERM and SIGINT finish the file that is on its way and stop.
pub fn run(context: &Context, _arguments: &RunArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Decisions);
    let config = context.config(false)?;
    let (waker, wake) = sync_channel(1);
    let world = World { wake: Some(waker.clone()), ..world(context, &config) };
    remember(work(&config, &world, waker, &wake), &world, &config.state)
}

fn work(config: &Config, world: &World, waker: SyncSender<()>, wake: &Receiver<()>) -> Result<Answer, Failure> {
    // Whoever works with the state has the port, too.
    refuse_locked(&config.state).map_err(|fault| store_failure(&fault))?;
    let prepared = pickup_server::prepare(config)?;
    let stop = Arc::clone(&world.stop);
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|fault| Failure::new("signals cannot be caught").because(fault))?;
    let handle = signals.handle();
    let watcher = std::thread::spawn(move || {
        for signal in &mut signals {
            tracing::info!(signal, "asked to stop");
            stop.store(true, Ordering::Relaxed);
            // A full channel means that it wakes up anyway.
            waker.try_send(()).ok();
        }
    });
    tracing::info!(feeds = config.feeds().count(), sources = config.sources.len(), "running");
    let done = open(config.clone(), world, false).and_then(|exporter| {
        let desk = exporter.pickup_desk();
        let server = prepared.map(|prepared| pickup_server::serve(prepared, config, &desk)).transpose()?;
        let done = exporter.run(wake).map_err(failure);
        drop(server);
        done
    });
    handle.close();
    watcher.join().ok();
    done.map(|()| Answer::default())
}
