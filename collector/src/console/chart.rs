//! Charts as SVG that is made here: no script, no style of their own, and every one says in words what it shows.

use askama::Template;

/// Height of the tallest bar.
const TALL: i64 = 24;
/// Width of a bar and of the space behind it.
const STEP: usize = 4;

/// A row of small bars, the oldest left.
#[derive(Clone, Debug, Template)]
#[template(
    source = r#"<svg class="bars" role="img" aria-label="{{ label }}" width="{{ width }}" height="24" viewBox="0 0 {{ width }} 24"><title>{{ label }}</title>{% for bar in bars %}<rect x="{{ bar.x }}" y="{{ bar.y }}" width="3" height="{{ bar.height }}"/>{% endfor %}</svg>"#,
    ext = "html"
)]
pub(super) struct Bars {
    label: String,
    width: usize,
    bars: Vec<Bar>,
}

#[derive(Clone, Copy, Debug)]
struct Bar {
    x: usize,
    y: i64,
    height: i64,
}

impl askama::filters::HtmlSafe for Bars {}

impl Bars {
    /// Of these numbers; `label` says in words what they are.
    pub(super) fn new(numbers: &[i64], label: String) -> Self {
        let most = numbers.iter().copied().max().unwrap_or(0).max(1);
        let bar = |(at, number): (usize, &i64)| {
            let number = (*number).clamp(0, most);
            // What is there at all can be seen.
            let height = i128::from(number) * i128::from(TALL) / i128::from(most);
            let height = i64::try_from(height).unwrap_or(TALL).max(number.min(1));
            Bar { x: at * STEP, y: TALL - height, height }
        };
        let bars = numbers.iter().enumerate().map(bar).filter(|bar| bar.height > 0).collect();
        Self { label, width: numbers.len() * STEP, bars }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_tall_as_their_numbers_and_say_what_they_are() {
        let svg = Bars::new(&[0, 1, 500, 1000, i64::MAX, -3], "<30>".to_owned()).to_string();
        assert!(svg.contains("aria-label=\"&#60;30&#62;\"") && svg.contains("width=\"24\" height=\"24\""));
        assert_eq!(svg.matches("<rect").count(), 4, "{svg}");
        assert!(svg.contains("<rect x=\"4\" y=\"23\" width=\"3\" height=\"1\"/>"));
        assert!(svg.contains("<rect x=\"16\" y=\"0\" width=\"3\" height=\"24\"/>"));
        let svg = Bars::new(&[5, 10], String::new()).to_string();
        assert!(svg.contains("<rect x=\"0\" y=\"12\" width=\"3\" height=\"12\"/>"), "{svg}");
        assert!(!Bars::new(&[], String::new()).to_string().contains("<rect"));
        assert!(!Bars::new(&[0, 0], String::new()).to_string().contains("<rect"));
    }
}
