//! What the threads of this process have used, by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the system tells what the first thread of that name uses.
pub fn find(name: &str) -> Option<PathBuf> {
    let mut tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let task = tasks
        .find(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))?;
    Some(task.path().join("schedstat"))
}

/// What a thread has used so far, by what [`find`] found.
pub fn used(thread: &Path) -> Duration {
    let spent = fs::read_to_string(thread).unwrap_or_default();
    Duration::from_nanos(spent.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// What all threads of a process that run now have used so far.
#[cfg(feature = "moq")]
pub fn of_process(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    tasks.map(|task| used(&task.path().join("schedstat"))).sum()
}

/// CPU time of each thread that runs now, with its name.
pub struct Threads(BTreeMap<u64, (String, Duration)>);

impl Threads {
    /// Nothing where the system does not tell, as anywhere but on Linux.
    pub fn now() -> Self {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|id| id.parse().ok());
            let name = fs::read_to_string(entry.path().join("comm"));
            let spent = used(&entry.path().join("schedstat"));
            let (Some(id), Ok(name)) = (id, name) else { continue };
            threads.insert(id, (name.trim().to_owned(), spent));
        }
        Self(threads)
    }

    /// What those whose name begins so have used since `before`.
    pub fn since(&self, before: &Self, names: &[&str]) -> Duration {
        let mine = |name: &str| names.iter().any(|wanted| name.starts_with(wanted));
        let used = self.0.iter().filter(|(_, (name, _))| mine(name)).map(|(id, (_, now))| {
            let then = before.0.get(id).map_or(Duration::ZERO, |(_, then)| *then);
            now.saturating_sub(then)
        });
        used.sum()
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
