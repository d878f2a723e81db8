//! What clients that have one image fetch to get another, found out from the TOCs of both alone.

mod report;

