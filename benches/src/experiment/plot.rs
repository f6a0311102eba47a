//! Plots as SVG: a few lines, dots or bars over two axes, readable in a browser and in a diff.
//!
//! Own writer: what it takes is a scale, ticks and polylines, and the plots of two runs differ only
//! where their numbers do.

use std::fmt::{self, Write as _};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Room around the field: left for numbers, right for names.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;

/// Colours that the colour-blind can tell apart (Okabe and Ito).
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"];

/// Ticks wanted on a linear axis.
const TICKS: f64 = 5.0;

/// A plot; its `Display` is the SVG.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// The axis below.
    pub x: Axis,
    /// The axis on the left.
    pub y: Axis,
    /// What is drawn, in order.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// What is counted, with its unit.
    pub label: String,
    /// How values are laid out.
    pub scale: Scale,
}

impl Axis {
    /// An axis whose equal distances are equal differences, zero included.
    #[must_use]
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), scale: Scale::Linear }
    }

    /// An axis whose equal distances are equal ratios; values must be above zero.
    #[must_use]
    pub fn logarithmic(label: &str) -> Self {
        Self { label: label.to_owned(), scale: Scale::Logarithmic }
    }

    /// An axis with a name at each whole number, from 0 on: for bars.
    #[must_use]
    pub fn names(label: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Self { label: label.to_owned(), scale: Scale::Names(names) }
    }
}

/// How values are laid out along an axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scale {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios.
    Logarithmic,
    /// One place a name.
    Names(Vec<String>),
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// How they are drawn.
    pub mark: Mark,
    /// `(x, y)`; what is not finite is left out.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// Points that belong together.
    #[must_use]
    pub fn new(name: &str, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), mark, points }
    }
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Joined by a line, with a dot at each.
    Line,
    /// A dot each.
    Dots,
    /// A dashed line across the whole field at the height of each: bounds and means.
    Level,
    /// A bar each, up from the axis; several series of bars stand beside each other.
    Bars,
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || self.series.iter().flat_map(|series| &series.points);
        // A level has no place along the axis below.
        let placed = self.series.iter().filter(|series| series.mark != Mark::Level);
        let xs = placed.flat_map(|series| &series.points).map(|point| point.0);
        let x = Layout::new(&self.x.scale, xs, (LEFT, WIDTH - RIGHT));
        let y = Layout::new(&self.y.scale, all().map(|point| point.1), (HEIGHT - BOTTOM, TOP));
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>",
            Text(&self.title)
        )?;
        self.write_axes(f, &x, &y)?;
        let rows: f64 = self.series.iter().map(|series| f64::from(series.mark == Mark::Bars)).sum();
        let mut row = 0.0;
        for (index, series) in self.series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let slot = Slot { width: 0.8 * x.step() / rows.max(1.0), offset: row - rows / 2.0 };
            series.write(f, colour, &x, &y, &slot)?;
            row += f64::from(series.mark == Mark::Bars);
            let (at, line) = (WIDTH - RIGHT + 14.0, TOP + 8.0 + 20.0 * from_index(index));
            writeln!(
                f,
                "<rect x=\"{at}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{line}\">{}</text>",
                line - 9.0,
                at + 16.0,
                Text(&series.name)
            )?;
        }
        writeln!(f, "</svg>")
    }
}

impl Plot {
    fn write_axes(&self, f: &mut fmt::Formatter<'_>, x: &Layout, y: &Layout) -> fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in x.ticks() {
            let at = Px(x.place(value));
            writeln!(
                f,
                "<path d=\"M{at} {bottom}v4\" stroke=\"#222\"/>\
                 <text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                Text(&text)
            )?;
        }
        for (value, text) in y.ticks() {
            let at = Px(y.place(value));
            writeln!(
                f,
                "<path d=\"M{LEFT} {at}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{at}\" dy=\"4\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                Text(&text)
            )?;
        }
        writeln!(
            f,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#222\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 14.0,
            Text(&self.x.label),
            f64::midpoint(TOP, bottom),
            Text(&self.y.label)
        )
    }
}

/// Where a bar stands about its place on the axis below.
struct Slot {
    width: f64,
    /// In widths.
    offset: f64,
}

impl Series {
    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        colour: &str,
        x: &Layout,
        y: &Layout,
        slot: &Slot,
    ) -> fmt::Result {
        let finite = self.points.iter().filter(|point| point.0.is_finite() && point.1.is_finite());
        let mut path = String::new();
        for &(at, value) in finite {
            let (left, top) = (Px(x.place(at)), Px(y.place(value)));
            match self.mark {
                Mark::Line | Mark::Dots => {
                    let step = if path.is_empty() { 'M' } else { 'L' };
                    write!(path, "{step}{left} {top}")?;
                    writeln!(f, "<circle cx=\"{left}\" cy=\"{top}\" r=\"3\" fill=\"{colour}\"/>")?;
                }
                Mark::Level => writeln!(
                    f,
                    "<path d=\"M{LEFT} {top}H{}\" stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>",
                    WIDTH - RIGHT
                )?,
                Mark::Bars => writeln!(
                    f,
                    "<rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/>",
                    Px(left.0 + slot.offset * slot.width),
                    Px(slot.width),
                    Px((HEIGHT - BOTTOM - top.0).max(0.0))
                )?,
            }
        }
        if self.mark == Mark::Line {
            writeln!(
                f,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )?;
        }
        Ok(())
    }
}

/// From values to positions along an axis.
struct Layout {
    scale: Scale,
    /// What the ends stand for: `low < high`, in logarithms of 10 if the scale is one.
    low: f64,
    high: f64,
    /// Positions of the ends, in pixels.
    ends: (f64, f64),
}

impl Layout {
    fn new(scale: &Scale, values: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = match scale {
            Scale::Names(names) => (-0.5, from_index(names.len()) - 0.5),
            Scale::Linear => (low.min(0.0), high.max(0.0) * 1.05),
            // Whole decades.
            Scale::Logarithmic => (
                low.max(f64::MIN_POSITIVE).log10().floor(),
                high.max(f64::MIN_POSITIVE).log10().ceil(),
            ),
        };
        // Nothing, or all in one place.
        let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.max(0.0) + 1.0) };
        let finite = low.is_finite() && high.is_finite();
        let (low, high) = if finite { (low, high) } else { (0.0, 1.0) };
        Self { scale: scale.clone(), low, high, ends }
    }

    fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10().max(self.low),
            Scale::Linear | Scale::Names(_) => value,
        };
        let share = (value - self.low) / (self.high - self.low);
        self.ends.0 + share * (self.ends.1 - self.ends.0)
    }

    /// Pixels of one unit.
    fn step(&self) -> f64 {
        (self.ends.1 - self.ends.0).abs() / (self.high - self.low)
    }

    /// Values to mark and what to write there.
    fn ticks(&self) -> Vec<(f64, String)> {
        match &self.scale {
            Scale::Names(names) => {
                let places = (0..names.len()).map(from_index);
                places.zip(names.iter().cloned()).collect()
            }
            Scale::Linear => {
                let step = round_step((self.high - self.low) / TICKS);
                steps(self.low / step, self.high / step)
                    .map(|i| (i * step, short(i * step)))
                    .collect()
            }
            Scale::Logarithmic => {
                let decades = steps(self.low, self.high);
                decades.map(|power| 10_f64.powf(power)).map(|value| (value, short(value))).collect()
            }
        }
    }
}

/// The whole numbers from one to another, both included.
fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let first = from.ceil();
    std::iter::successors(Some(first), |step| Some(step + 1.0)).take_while(move |&step| step <= to)
}

/// The least of 1, 2, 5, 10, … that is not below.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    steps.into_iter().find(|&step| step >= least * 0.999).unwrap_or(steps[3])
}

/// A number in as few signs as it takes: `250 k`, `1.5 M`, `0.2`.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    let (value, unit) = match size {
        1e9.. => (value / 1e9, " G"),
        1e6.. => (value / 1e6, " M"),
        1e4.. => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

fn from_index(index: usize) -> f64 {
    super::stats::number(index)
}

/// A position, to a tenth of a pixel.
struct Px(f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

/// Text that may hold what XML reserves.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in self.0.chars() {
            match sign {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                sign if sign.is_control() => f.write_char(' ')?,
                sign => f.write_char(sign)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_starts_at_zero_and_has_round_ticks() {
        let layout = Layout::new(&Scale::Linear, [3.0, 10.0].into_iter(), (0.0, 105.0));
        assert_eq!((layout.place(0.0), layout.place(10.5)), (0.0, 105.0));
        let ticks: Vec<_> = layout.ticks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(ticks, ["0", "5", "10"]);
    }

    #[test]
    fn a_logarithmic_axis_has_whole_decades() {
        let values = [3_000.0, 700_000.0].into_iter();
        let layout = Layout::new(&Scale::Logarithmic, values, (0.0, 90.0));
        let ticks: Vec<_> = layout.ticks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(ticks, ["1000", "10 k", "100 k", "1 M"]);
        assert!((layout.place(10_000.0) - 30.0).abs() < 1e-9);
        assert_eq!(layout.place(0.0), 0.0, "nothing below the axis");
    }

    /// For everything odd that a run may have measured: an SVG without NaN, with as many tags closed
    /// as opened.
    #[test]
    fn odd_numbers_make_a_whole_plot() {
        for points in [
            vec![],
            vec![(0.0, 0.0)],
            vec![(1.0, f64::NAN), (2.0, f64::INFINITY)],
            vec![(-5.0, -3.0), (5.0, 3.0)],
            vec![(7.0, 7.0), (7.0, 7.0)],
        ] {
            for scale in [Scale::Linear, Scale::Logarithmic] {
                for mark in [Mark::Line, Mark::Dots, Mark::Level, Mark::Bars] {
                    let axis = Axis { label: "a <b>".to_owned(), scale: scale.clone() };
                    let series = Series::new("x & y", mark, points.clone());
                    let (x, title) = (Axis::linear("x"), String::new());
                    let svg = Plot { title, x, y: axis, series: vec![series] }.to_string();
                    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
                    assert!(svg.contains("a &lt;b&gt;") && svg.contains("x &amp; y"));
                    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
                }
            }
        }
    }

    #[test]
    fn bars_of_two_series_stand_beside_each_other() {
        let bars = |name| Series::new(name, Mark::Bars, vec![(0.0, 1.0), (1.0, 2.0)]);
        let plot = Plot {
            title: "t".to_owned(),
            x: Axis::names("", &["one", "two"]),
            y: Axis::linear("y"),
            series: vec![bars("a"), bars("b")],
        };
        let svg = plot.to_string();
        let lefts: Vec<&str> = svg
            .lines()
            .filter(|line| line.starts_with("<rect x") && !line.contains("</text>"))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        assert_eq!(lefts.len(), 4);
        assert!(lefts.iter().enumerate().all(|(i, left)| !lefts[..i].contains(left)), "{lefts:?}");
        assert!(svg.contains(">one</text>") && svg.contains(">two</text>"));
    }

    #[test]
    fn numbers_are_short() {
        let rows = [
            (0.0, "0"),
            (0.25, "0.25"),
            (12.0, "12"),
            (999.0, "999"),
            (45_000.0, "45 k"),
            (1_500_000.0, "1.5 M"),
            (2e9, "2 G"),
        ];
        for (value, text) in rows {
            assert_eq!(short(value), text);
        }
    }
}
