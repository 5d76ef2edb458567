//! How far a replay is: a bar with rate and time left, on standard error, only for people.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::capture::file::Files;

/// Frames between two looks at how far it is.
const FRAMES_PER_LOOK: u64 = 1024;

/// A bar, or nothing where nobody would see it.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    frames: u64,
}

impl Progress {
    /// Draws only on a terminal, and not if it shall be `quiet`.
    pub(super) fn new(quiet: bool, files: &Files) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self { bar: None, frames: 0 };
        }
        let (_read, size) = files.progress();
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
        let template = match size {
            Some(_) => {
                "{bar:30} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left  {msg}"
            }
            None => "{spinner} {bytes}  {bytes_per_sec}  {elapsed}  {msg}",
        };
        // The templates are ours; if one were wrong, the default still shows how far it is.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_wrong| ProgressStyle::default_bar());
        bar.set_style(style);
        Self { bar: Some(bar), frames: 0 }
    }

    /// A frame was read.
    pub(super) fn frame(&mut self, files: &Files) {
        self.frames += 1;
        let Some(bar) = self.bar.as_ref().filter(|_bar| self.frames.is_multiple_of(FRAMES_PER_LOOK)) else {
            return;
        };
        let (read, _size) = files.progress();
        bar.set_position(read);
        bar.set_message(format!("{} frames", self.frames));
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
