//! Where it is shown what happens, and where people type: lines in and out, or the whole terminal.
//!
//! A terminal may be slow, or stop. So it has a thread of its own, which draws what the loop of the
//! talk has put into the [`View`] last; sound never waits for it.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{Clear, ClearType},
    },
};
use sottovoce_examples::talk::{Prompt, View, draw, tame};

/// What somebody at the terminal wants.
pub enum Input {
    /// One line, as it was typed.
    Line(String),
    /// Their own microphone off, or on again.
    Microphone,
    /// To go.
    Leave,
    /// Nothing, for their terminal is gone.
    Gone(io::Error),
}

/// Lines, or the whole terminal.
pub struct Screen {
    full: Option<Full>,
}

struct Full {
    view: Arc<Mutex<View>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the whole terminal, if input and output are one and nobody wants lines.
    pub fn open(plain: bool) -> io::Result<(Self, Receiver<Input>)> {
        let (sender, inputs) = channel();
        if plain || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            thread::spawn(move || read_lines(&sender));
            return Ok((Self { full: None }, inputs));
        }
        let terminal = ratatui::try_init()?;
        // Not by the terminal's own `clear`, which asks where the cursor is: some never answer.
        execute!(io::stdout(), Clear(ClearType::All))?;
        let (view, stop) = (Arc::new(Mutex::new(View::default())), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (view, stop) = (Arc::clone(&view), Arc::clone(&stop));
            thread::spawn(move || {
                if let Err(why) = serve(terminal, &view, &stop, &sender) {
                    let _ = sender.send(Input::Gone(why));
                }
            })
        };
        Ok((Self { full: Some(Full { view, stop, thread: Some(thread) }) }, inputs))
    }

    /// Whether it is the whole terminal.
    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Says something, without what could write elsewhere on the terminal.
    pub fn say(&self, text: &str) {
        match &self.full {
            Some(full) => full.view.lock().unwrap_or_else(PoisonError::into_inner).say(text),
            None => text.lines().for_each(|line| print(&tame(line))),
        }
    }

    /// Changes what is shown besides lines.
    pub fn show(&self, change: impl FnOnce(&mut View)) {
        if let Some(full) = &self.full {
            change(&mut full.view.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Gives the terminal back. From then on what is said are lines.
    pub fn close(&mut self) {
        self.full = None;
    }
}

/// Prints a line. Where nobody reads it any more that is no reason to stop.
pub fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

impl Drop for Full {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Reading from a terminal that is gone may never end, and is not waited for.
        let ends = Instant::now() + Duration::from_millis(500);
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < ends {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = ratatui::try_restore();
    }
}

/// Lines of standard input, until it or the program ends.
fn read_lines(sender: &Sender<Input>) {
    for line in io::stdin().lines().map_while(Result::ok) {
        if sender.send(Input::Line(line)).is_err() {
            break;
        }
    }
}

/// Draws and reads keys until it is to stop.
fn serve(
    mut terminal: DefaultTerminal,
    view: &Mutex<View>,
    stop: &AtomicBool,
    sender: &Sender<Input>,
) -> io::Result<()> {
    let mut prompt = Prompt::default();
    while !stop.load(Ordering::Relaxed) {
        let shown = view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        terminal.draw(|frame| draw(&shown, &prompt, frame))?;
        if !event::poll(PACE)? {
            continue;
        }
        // A paste is many keys: all that are there are read before it is drawn again.
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && let Some(input) = press(key, &mut prompt)
                && sender.send(input).is_err()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What a key does to what is being typed, and what it asks for besides.
fn press(key: KeyEvent, prompt: &mut Prompt) -> Option<Input> {
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Char('c' | 'd'), true) => return Some(Input::Leave),
        (KeyCode::Char('u'), true) | (KeyCode::Esc, _) => prompt.clear(),
        (KeyCode::Char(typed), false) => prompt.push(typed),
        (KeyCode::Backspace, _) => prompt.pop(),
        (KeyCode::PageUp, _) => prompt.scroll(10),
        (KeyCode::PageDown, _) => prompt.scroll(-10),
        (KeyCode::Tab, _) => return Some(Input::Microphone),
        (KeyCode::Enter, _) => {
            let line = prompt.take();
            // What is no command is written to everybody.
            return match line.strip_prefix('/') {
                Some(command) => Some(Input::Line(command.to_owned())),
                None if line.trim().is_empty() => None,
                None => Some(Input::Line(format!("say {line}"))),
            };
        }
        _ => {}
    }
    None
}

/// How often it is drawn.
const PACE: Duration = Duration::from_millis(100);
