//! What a measurement hands out: tables for people, on a terminal and as Markdown, the same for
//! programs, plots, and where all of it is put down.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::plot::Plot;

/// Complaints printed in full; all are counted.
const COMPLAINTS_SHOWN: usize = 20;

/// The outcome of a measurement.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Stem of the file names, such as `zero-loss`.
    pub name: String,
    /// One line that says what was measured and how.
    pub title: String,
    /// What the reader must know to read the tables, a sentence each.
    pub notes: Vec<String>,
    /// In the order to read them.
    pub tables: Vec<Table>,
    /// Each with the rest of its file name; empty for the only one.
    pub plots: Vec<(String, Plot)>,
    /// The raw numbers.
    pub json: Value,
    /// Everything that is not as it should be; empty if all is well.
    pub complaints: Vec<String>,
}

/// Rows under headings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it shows; may be empty.
    pub title: String,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(title: &str, headings: &[&str]) -> Self {
        let headings = headings.iter().map(|&heading| heading.to_owned()).collect();
        Self { title: title.to_owned(), headings, rows: Vec::new() }
    }

    /// Adds a row; what it lacks is empty, what it has too much is left out.
    pub fn push<S: ToString>(&mut self, cells: &[S]) {
        let mut cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells);
    }

    /// The table as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        if !self.title.is_empty() {
            text.push_str(&format!("**{}**\n\n", self.title));
        }
        let line = |cells: &[String]| {
            let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        text.push_str(&line(&self.headings));
        let rules = (0..self.headings.len()).map(|column| match self.is_numeric(column) {
            true => "--:|",
            false => "---|",
        });
        text.push_str(&format!("|{}\n", rules.collect::<String>()));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }

    /// Whether all cells of a column begin like numbers: those stand on the right.
    fn is_numeric(&self, column: usize) -> bool {
        let starts =
            |cell: &String| cell.starts_with(|c: char| "+-−<>≤".contains(c) || c.is_ascii_digit());
        let mut cells = self.rows.iter().map(|row| &row[column]).filter(|cell| !cell.is_empty());
        column > 0 && cells.all(starts)
    }
}

/// For a terminal.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            writeln!(f, "{}", self.title)?;
        }
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.headings]).map(|row| &row[column]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for row in [&self.headings].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let blanks = " ".repeat(width(column) - cell.chars().count());
                let cell = match self.is_numeric(column) {
                    true => format!("{blanks}{cell}"),
                    false => format!("{cell}{blanks}"),
                };
                line.push_str("  ");
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Report {
    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name, "title": self.title, "machine": machine(), "command": command(),
            "found": self.json, "complaints": self.complaints,
        })
    }

    /// The report as a page, which shows the plots that stand beside it.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n`{}`, {}.\n", self.title, command(), machine());
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        for table in &self.tables {
            text.push_str(&format!("\n{}", table.to_markdown()));
        }
        for (rest, plot) in &self.plots {
            text.push_str(&format!("\n![{}]({})\n", plot.title, self.plot_file(rest)));
        }
        for complaint in &self.complaints {
            text.push_str(&format!("\nFAILED: {complaint}\n"));
        }
        text
    }

    /// Puts page, numbers and plots down as `NAME.md`, `NAME.json` and `NAME[-…].svg`; gives the
    /// page.
    ///
    /// # Errors
    ///
    /// The folder or a file can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        for (rest, plot) in &self.plots {
            fs::write(folder.join(self.plot_file(rest)), plot.to_string())?;
        }
        let json = serde_json::to_string_pretty(&self.to_json())?;
        fs::write(folder.join(format!("{}.json", self.name)), json + "\n")?;
        let page = folder.join(format!("{}.md", self.name));
        fs::write(&page, self.to_markdown())?;
        Ok(page)
    }

    fn plot_file(&self, rest: &str) -> String {
        let dash = if rest.is_empty() { "" } else { "-" };
        format!("{}{dash}{rest}.svg", self.name)
    }
}

/// For a terminal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        for complaint in self.complaints.iter().take(COMPLAINTS_SHOWN) {
            writeln!(f, "FAILED: {complaint}")?;
        }
        match self.complaints.len().saturating_sub(COMPLAINTS_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "FAILED: {more} more"),
        }
    }
}

/// Where reports go if nobody says: `bench` in cargo's target folder, beside the profiles.
#[must_use]
pub fn default_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(|| PathBuf::from("target"), Path::to_path_buf).join("bench")
}

/// What the numbers were measured on, and when: `2 × AMD EPYC, 24 GiB, Linux 6.18.44, 2026-11-27`.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let processors = thread::available_parallelism().map_or(0, |count| count.get());
    let model = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let build = if cfg!(debug_assertions) { "; DEBUG BUILD" } else { "" };
    format!(
        "{processors} × {model}, {} GiB, Linux {}, {}{build}",
        (memory_kib + (1 << 19)) >> 20,
        kernel.trim(),
        today()
    )
}

/// The command line, with the program by its name alone.
#[must_use]
pub fn command() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("lastdrop-lab".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The date in UTC, as 2026-11-27.
fn today() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since_1970.as_secs() / 86_400)
}

/// The date so many days after 1970-01-01. Years are counted from March, so that the day that some
/// years have more is their last; 400 of them have 146,097 days.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("rates", &["what", "per s"]);
        table.push(&["a|b", "12"]);
        table.push(&["c", "1234"]);
        table
    }

    #[test]
    fn a_table_is_aligned_on_a_terminal() {
        assert_eq!(table().to_string(), "rates\n  what  per s\n  a|b      12\n  c      1234\n");
    }

    #[test]
    fn a_table_is_markdown_too() {
        let expected = "**rates**\n\n| what | per s |\n|---|--:|\n| a\\|b | 12 |\n| c | 1234 |\n";
        assert_eq!(table().to_markdown(), expected);
    }

    #[test]
    fn a_row_is_as_long_as_the_headings() {
        let mut table = Table::new("", &["a", "b"]);
        table.push(&["1"]);
        table.push(&["1", "2", "3"]);
        assert_eq!(table.to_markdown(), "| a | b |\n|---|--:|\n| 1 |  |\n| 1 | 2 |\n");
    }

    #[test]
    fn page_numbers_and_plots_are_put_down_beside_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let plots = vec![(String::new(), Plot::default()), ("two".to_owned(), Plot::default())];
        let report = Report {
            name: "x".to_owned(),
            tables: vec![table()],
            plots,
            json: json!({ "a": 1 }),
            complaints: vec!["lost".to_owned()],
            ..Report::default()
        };
        let page = report.write(&folder.path().join("deep")).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        for part in ["| c | 1234 |", "](x.svg)", "](x-two.svg)", "FAILED: lost"] {
            assert!(text.contains(part), "{text}");
        }
        let numbers = fs::read(page.with_extension("json")).unwrap();
        let numbers: Value = serde_json::from_slice(&numbers).unwrap();
        assert_eq!(
            (&numbers["found"]["a"], &numbers["complaints"][0]),
            (&1.into(), &"lost".into())
        );
        assert!(page.with_file_name("x-two.svg").is_file());
    }

    #[test]
    fn days_are_dates() {
        let rows = [(0, "1970-01-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01")];
        for (days, expected) in rows {
            assert_eq!(date(days), expected);
        }
        assert_eq!(date(20_784), "2026-11-27");
    }

    #[test]
    fn the_machine_is_described() {
        let machine = machine();
        assert!(machine.contains("Linux ") && machine.contains(" GiB"), "{machine}");
    }
}
