//! The screen of `talk`, on a terminal that remembers what was drawn: usual states, hostile ones,
//! and terminals of every size.

use ratatui::{Terminal, backend::TestBackend};
use sottovoce_examples::talk::{Person, Prompt, View, draw, tame};

fn person(name: &str) -> Person {
    Person {
        name: name.to_owned(),
        fingerprint: "0123abcd".into(),
        role: "speaker".into(),
        ..Person::default()
    }
}

fn evening() -> View {
    let ada = Person { is_self: true, role: "host".into(), below: Some(18), talks: true, ..person("Ada") };
    let ben = Person { hand: Some(1), notes: vec!["volume 50 %".into()], below: Some(127), ..person("Ben") };
    let mut view = View::default();
    (view.room, view.state, view.well) = ("Evening room".into(), "in".into(), true);
    (view.code, view.traffic) = (Some("12345 67890".into()), "loss 1 %".into());
    (view.microphone, view.people) = (true, vec![ada, ben]);
    view.say("Ben comes in");
    view.say("Ben: good evening\nand a second line");
    view
}

fn screen(view: &View, prompt: &Prompt, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, prompt, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..height).map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>()).collect()
}

fn typed(text: &str) -> Prompt {
    let mut prompt = Prompt::default();
    text.chars().for_each(|c| prompt.push(c));
    prompt
}

#[test]
fn everything_of_a_usual_evening_is_on_the_screen() {
    let screen = screen(&evening(), &typed("hello"), 80, 12);
    let expected = [
        "Evening room  in  2 here  code 12345 67890",
        "Ada (you)            host      #######...  speaks",
        "Ben                  speaker   ..........  hand 1  volume 50 %",
    ];
    for (row, expected) in screen.iter().zip(expected) {
        assert_eq!(row.trim_end(), expected);
    }
    assert!(screen[3].starts_with('─') && screen[9].starts_with('─'), "{screen:#?}");
    let said: Vec<_> = screen[4..9].iter().map(|row| row.trim_end()).filter(|row| !row.is_empty()).collect();
    assert_eq!(said, ["Ben comes in", "Ben: good evening", "and a second line"]);
    assert_eq!(screen[10].trim_end(), "> hello");
    assert_eq!(screen[11].trim_end(), "microphone on  Tab: off  /help  Ctrl-C: leave  loss 1 %");
}

#[test]
fn a_terminal_of_any_size_shows_what_it_can() {
    let mut view = evening();
    view.people.extend((0..62).map(|n| person(&format!("Member {n}"))));
    (0..600).for_each(|n| view.say(&format!("line {n} {}", "x".repeat(n))));
    for width in [1, 2, 3, 4, 5, 10, 19, 40, 79, 80, 119, 120, 250] {
        for height in 1..=70 {
            let screen = screen(&view, &typed(&"y".repeat(700)), width, height);
            // What is typed is always there, where there is any room for it.
            assert!(width < 4 || screen.iter().any(|row| row.starts_with("> y")), "{width} x {height}");
            assert!(height < 5 || width < 20 || screen[0].starts_with("Evening room"), "{width} x {height}");
        }
    }
}

#[test]
fn of_64_members_on_a_small_screen_those_who_talk_and_ask_are_shown_and_the_rest_counted() {
    let mut view = evening();
    view.people.extend((0..62).map(|n| person(&format!("Member {n}"))));
    view.people[50].talks = true;
    view.people[60].hand = Some(2);
    let rows = screen(&view, &Prompt::default(), 100, 16).join("\n");
    for there in ["Ada (you)", "Ben", "Member 48", "Member 58", "64 here", "and 59 more"] {
        assert!(rows.contains(there), "{there} is not in\n{rows}");
    }
    // Two columns where they fit, and everybody where there is room.
    let rows = screen(&view, &Prompt::default(), 140, 80).join("\n");
    assert!(
        (0..62).all(|n| rows.contains(&format!("Member {n} "))) && !rows.contains("more: /who"),
        "{rows}"
    );
}

#[test]
fn hostile_names_and_messages_stay_in_their_place() {
    let mut view = evening();
    let names = [
        "\u{1b}[2J\u{1b}[H\u{7}gone",
        "\u{202e}nimda\u{2066}",
        "line\nbreak\ttab\r",
        "\u{200b}\u{200d}\u{feff}\u{2060}",
        &"W".repeat(5_000),
        &"\u{5b57}".repeat(500),
        &format!("e{}", "\u{301}".repeat(3_000)),
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "Ada",
    ];
    view.people.extend(names.iter().map(|name| Person { hand: Some(usize::MAX), ..person(name) }));
    view.room = names.join("");
    view.state = names[0].into();
    for name in names {
        view.say(&format!("{name}: {name}"));
    }
    for (width, height) in [(80, 30), (20, 10), (7, 5)] {
        let mut prompt = typed(&names.concat());
        prompt.scroll(3);
        for row in screen(&view, &prompt, width, height) {
            assert!(
                !row.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)),
                "{row:?}"
            );
        }
    }
    // Two of one name are told apart.
    let rows = screen(&view, &Prompt::default(), 80, 40).join("\n");
    assert!(rows.contains("0123abcd Ada (you)") && rows.contains("0123abcd Ada   "), "{rows}");
    assert_eq!(tame("a\u{1b}[31mb\nc\u{202e}d"), "a [31mb c d");
}

#[test]
fn mute_deafness_and_a_lost_connection_cannot_be_missed() {
    let mut view = evening();
    (view.microphone, view.deafened, view.well) = (false, true, false);
    view.state = "reconnecting, attempt 3: the relay is silent".into();
    let rows = screen(&view, &Prompt::default(), 80, 12);
    assert!(rows[0].contains("reconnecting, attempt 3"), "{rows:#?}");
    assert!(rows[11].starts_with("MUTED  DEAF  Tab: on"), "{rows:#?}");
}

#[test]
fn older_lines_are_there_when_one_scrolls_back_and_a_new_one_ends_that() {
    let mut view = View::default();
    (0..700).for_each(|n| view.say(&format!("line {n}.")));
    let mut prompt = Prompt::default();
    prompt.scroll(100);
    let rows = screen(&view, &prompt, 40, 12).join("\n");
    assert!(rows.contains("line 599.") && !rows.contains("line 600."), "{rows}");
    prompt.scroll(isize::MAX);
    assert!(screen(&view, &prompt, 40, 12).join("\n").contains("line 200."), "the oldest of 500");
    prompt.push('x');
    assert_eq!(prompt.take(), "x");
    assert!(screen(&view, &prompt, 40, 12).join("\n").contains("line 699."));
}
