//! Progress bars, one for each layer at work.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Event, lines};
use crate::layer::LayerProgress;

/// How often the bars move.
const TICK: Duration = Duration::from_millis(100);

type ActiveLayers = Arc<Mutex<HashMap<usize, (ProgressBar, Arc<LayerProgress>)>>>;

/// The bars on the terminal.
#[derive(Debug)]
pub struct Bars {
    screen: MultiProgress,
    layers: ActiveLayers,
    /// Dropped with the bars, which ends the thread that moves them.
    _alive: Sender<()>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let (alive, ended) = mpsc::channel();
        let layers = ActiveLayers::default();
        let moved = Arc::clone(&layers);
        thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let layers = moved.lock().unwrap_or_else(PoisonError::into_inner);
                for (bar, progress) in layers.values() {
                    bar.set_position(progress.bytes_read());
                }
            }
        });
        Self { screen: MultiProgress::new(), layers, _alive: alive }
    }

    pub(super) fn event(&self, event: &Event<'_>) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { id, label, size, progress } => {
                let bar = self.screen.add(ProgressBar::new(*size).with_style(style()));
                bar.set_message((*label).to_owned());
                layers.insert(*id, (bar, Arc::clone(progress)));
            }
            Event::Converted { id, label, report } => {
                if let Some((bar, _)) = layers.get(id) {
                    bar.set_position(report.source_size);
                    bar.set_message(format!("{label}, storing"));
                }
            }
            Event::Stored { id, .. } => {
                if let Some((bar, _)) = layers.remove(id) {
                    bar.finish_and_clear();
                }
            }
            Event::Planned { .. } | Event::Published { .. } | Event::Probed { .. } => {}
        }
        if let Some(text) = lines::line(event) {
            self.screen.suspend(|| lines::print_text(&text));
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{msg:28} {bar:30} {bytes:>11} of {total_bytes} {bytes_per_sec:>13} {eta:>4}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}
