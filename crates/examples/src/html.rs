//! What the pages of two examples share: a self-contained HTML file, with a headline, figures and a
//! style. Nothing is fetched: pictures are data, style is inline, there is no script.

use std::fmt::Write as _;

/// The beginning of a page, up to its content: `style` comes after the shared one.
pub fn head(title: &str, style: &str) -> String {
    format!("{BEFORE_TITLE}{}{AFTER_TITLE}{STYLE}{style}{AFTER_STYLE}", escape(title))
}

/// The headline of a run: whether its promises held, by the sentences about those that did not, and
/// its figures, each with what it means.
pub fn headline(title: &str, broken: &[String], figures: &[(String, String)]) -> String {
    let mut text = format!("<header><h1>{}</h1><p>", escape(title));
    text += match broken {
        [] => "Every promise of this run held.",
        _ => "This run broke a promise:",
    };
    text += "</p>";
    for sentence in broken {
        let _ = write!(text, "<p class=broken>{}</p>", escape(sentence));
    }
    text += "</header><dl class=figures>";
    for (figure, meaning) in figures {
        let _ = write!(text, "<div><dt>{}</dt><dd>{}</dd></div>", escape(figure), escape(meaning));
    }
    text + "</dl>"
}

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const BEFORE_TITLE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>"#;
const AFTER_TITLE: &str = "</title>\n<style>\n";
const AFTER_STYLE: &str = "</style></head><body><main>\n";
const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1d1d22; --soft: #62626c; --line: #d9d9de; --paper: #fbfbf9; --mark: #c2410c }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e8e4; --soft: #a3a3ab; --line: #3a3a42; --paper: #17171b; --mark: #fb923c } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: 2rem; line-height: 1.15; margin: 0 } h2 { font-size: 1.2rem; margin: 3rem 0 .25rem }
header p, section > p, footer { color: var(--soft); margin: .25rem 0 1rem; max-width: 46rem }
.broken { color: var(--mark) } footer { margin-top: 3rem; font-size: .875rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px; margin: 1.5rem 0 0; background: var(--line); border: 1px solid var(--line) }
.figures div { background: var(--paper); padding: .75rem .875rem } dt { font-size: 1.5rem; font-variant-numeric: tabular-nums } dd { margin: 0; color: var(--soft); font-size: .85rem; line-height: 1.3 }
figure { margin: 1.25rem 0 0 } figcaption { color: var(--soft); font-size: .9rem; margin-bottom: .35rem } figcaption b { color: var(--ink); margin-right: .35rem }
.spectrum { position: relative; background: #000 }
.spectrum u { position: absolute; top: 0; bottom: 0; border-left: 2px solid #fff } .spectrum u span { position: absolute; top: .2rem; left: .35rem; color: #fff; font-size: .75rem; white-space: nowrap; text-shadow: 0 0 3px #000, 0 0 3px #000 }
.spectrum u, .spectrum u span { text-decoration: none }
svg { display: block; width: 100%; height: auto } svg text { fill: var(--soft); font: 11px system-ui, sans-serif } svg line { stroke: var(--line) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap } th { color: var(--soft); font-weight: 500 }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_are_no_markup() {
        let text = headline("A <b>", &["<i>".into()], &[("1 & 2".into(), "\"quoted\"".into())]);
        assert!(text.contains("A &lt;b&gt;") && text.contains("<p class=broken>&lt;i&gt;</p>"));
        assert!(text.contains("<dt>1 &amp; 2</dt><dd>&quot;quoted&quot;</dd>"));
        assert!(head("<>", "p {}").contains("<title>&lt;&gt;</title>"));
    }

    #[test]
    fn a_run_without_a_broken_promise_says_so() {
        assert!(headline("A run", &[], &[]).contains("Every promise of this run held."));
    }
}
