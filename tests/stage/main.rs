//! Stage rooms: an audience that hears, people who are put out, and those who lie
//! (`spec/stage.md`).

mod hearing;
