//! "Did you mean …?": the known word that a misspelt one is closest to.

/// The closest of `known`, when it is close enough to be a slip: about one edit in three characters.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // No slip is that long; and the distance takes the product of the lengths.
    let word: Vec<char> = word.chars().map(|char| char.to_ascii_lowercase()).take(64).collect();
    let (distance, closest) = known.iter().map(|known| (distance(&word, known), *known)).min()?;
    (distance <= word.len().max(3) / 3).then_some(closest)
}

/// How many insertions, deletions, replacements and swaps of neighbours make one of the other (optimal string
/// alignment).
fn distance(word: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=known.len()).collect()];
    for (i, a) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in known.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == known[j - 1] && word[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[word.len()][known.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["listen", "limits", "routes", "upstreams", "workers", "id"];
        let check = |word: &str, expect: Option<&str>| assert_eq!(nearest(word, &known), expect, "{word}");
        check("lisen", Some("listen"));
        check("Listen", Some("listen"));
        check("upstream", Some("upstreams"));
        check("rotues", Some("routes"));
        check("di", Some("id"));
        check("worker_count", None);
        check("x", None);
        check("", None);
        check(&"workers".repeat(100_000), None);
        assert_eq!(nearest("listen", &[]), None);
    }
}
