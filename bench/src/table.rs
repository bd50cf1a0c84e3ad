//! A table that reads well both on a terminal and as Markdown.

use std::fmt;

/// Rows of text; the first column is aligned left, the others right.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub(crate) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            write!(f, "| {:1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, " | {cell:>width$}")?;
            }
            writeln!(f, " |")?;
            if index == 0 {
                write!(f, "|{:-<1$}", "", widths[0] + 2)?;
                for width in &widths[1..] {
                    write!(f, "|{:->1$}", ":", width + 2)?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_the_head_is_markdown() {
        let mut table = Table::new(["proxy", "µs"]);
        table.row(["envoy".to_owned(), "52.1".to_owned()]);
        assert_eq!(table.to_string(), "| proxy |   µs |\n|-------|-----:|\n| envoy | 52.1 |\n");
    }
}
