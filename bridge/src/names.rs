//! Names of subjects and streams.

/// Returns a queue's name as one token of a subject: dots separate tokens, so they are escaped.
/// Names of queues contain no percent sign, so two names never become one.
pub fn token(queue: &str) -> String {
    queue.replace('.', "%2E")
}

/// Returns the subject of a queue for which none was chosen.
pub fn subject(queue: &str) -> String {
    format!("prodcon.{}", token(queue))
}

/// Returns the stream of a queue for which none was chosen.
pub fn stream(queue: &str) -> String {
    format!("prodcon-{}", token(queue))
}

/// Returns a name that may be part of a file's.
pub fn in_a_path(name: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || "._%-".contains(c);
    name.chars()
        .map(|c| if keep(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_of_a_name_are_escaped() {
        assert_eq!(subject("camera.left"), "prodcon.camera%2Eleft");
        assert_eq!(stream("camera.left"), "prodcon-camera%2Eleft");
        assert_eq!(subject("jobs"), "prodcon.jobs");
    }
}
