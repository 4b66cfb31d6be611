//! What a crash at each step leaves.
