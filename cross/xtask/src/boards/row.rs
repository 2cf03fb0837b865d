//! What came of a board, as lines of a table.

use super::scene::Nature;

/// Characters of a digest that tell it from others.
const DIGEST_CHARS: usize = 19;

/// What came of a board.
pub struct Row {
    /// The board.
    pub name: &'static str,
    /// What it says that it is.
    pub platform: String,
    /// The manifest that it chose, of the last generation, and the index that it comes from.
    pub manifest: String,
    /// See `manifest`.
    pub index: String,
    /// Seconds from power to everything running.
    pub boot: f32,
    /// Each generation that it was told to run while its power was on.
    pub legs: Vec<Leg>,
    /// What was measured beside.
    pub notes: Vec<String>,
    /// What became of the power cut.
    pub cut: Option<String>,
    /// The first wrong end.
    pub trouble: Option<String>,
}

/// What a board made of one generation.
pub struct Leg {
    /// The generation.
    pub generation: u64,
    /// How it behaves.
    pub nature: Nature,
    /// From its document to its confirmation, or to the good one's running again.
    pub seconds: f32,
    /// The error with which it was taken back, where it was.
    pub why: Option<String>,
}

impl Leg {
    fn head(&self) -> String {
        format!("{} {}", self.generation, self.nature.word())
    }

    fn cell(&self) -> String {
        let end = if self.why.is_some() { "back" } else { "runs" };
        format!("{end} {:.1} s", self.seconds)
    }
}

/// All of them with a head, as lines.
pub fn table(rows: &[Row]) -> Vec<String> {
    let longest = rows.iter().max_by_key(|row| row.legs.len());
    let heads = longest.map_or_else(Vec::new, |row| row.legs.iter().map(Leg::head).collect());
    let line = |first: [&str; 5], legs: &[String], last: &str| {
        let [name, platform, manifest, index, boot] = first;
        let legs = legs.iter().map(|leg| format!(" {leg:>12}")).collect::<String>();
        format!("{name:6} {platform:14} {manifest:20} {index:20} {boot:>6}{legs}  {last}")
    };
    let short = |digest: &str| digest.chars().take(DIGEST_CHARS).collect::<String>();
    let head = line(["board", "platform", "manifest", "index", "boot s"], &heads, "power cut");
    let lines = rows.iter().map(|row| {
        let mut cells: Vec<String> = row.legs.iter().map(Leg::cell).collect();
        cells.resize(heads.len(), "-".to_owned());
        let (manifest, index, boot) = (short(&row.manifest), short(&row.index), format!("{:.1}", row.boot));
        let first = [row.name, &row.platform, &manifest, &index, &boot];
        line(first, &cells, row.cut.as_deref().unwrap_or("-"))
    });
    std::iter::once(head).chain(lines).collect()
}

/// How many generations of each nature were taken back, over all boards: `1 crashing, 1 unwell`.
pub fn backs(rows: &[Row], natures: &[Nature]) -> String {
    let back = |nature: Nature| {
        let legs = rows.iter().flat_map(|row| &row.legs);
        legs.filter(|leg| leg.nature == nature && leg.why.is_some()).count()
    };
    let told = natures.iter().map(|nature| format!("{} {}", back(*nature), nature.word()));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_board_is_a_line_with_a_cell_for_each_generation() {
        let leg = |generation, nature: Nature| Leg {
            generation,
            nature,
            seconds: 7.25,
            why: nature.faults().first().map(|&part| part.to_owned()),
        };
        let row = |name, legs| Row {
            name,
            platform: format!("linux/{name}"),
            manifest: "sha256:0123456789abcdef".into(),
            index: "sha256:fedcba9876543210".into(),
            boot: 12.5,
            legs,
            notes: Vec::new(),
            cut: None,
            trouble: None,
        };
        let whole =
            row("arm64", vec![leg(1, Nature::Good), leg(2, Nature::Crashing), leg(3, Nature::Unwell)]);
        let rows = [row("arm", vec![leg(1, Nature::Good)]), whole];
        let lines = table(&rows);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("2 crashing     3 unwell"), "{}", lines[0]);
        assert!(lines[1].contains("runs 7.2 s            -            -"), "{}", lines[1]);
        assert!(lines[2].contains("runs 7.2 s   back 7.2 s   back 7.2 s"), "{}", lines[2]);
        assert_eq!(backs(&rows, &Nature::BAD), "1 crashing, 1 unwell, 0 leaking, 0 forking");
    }
}
