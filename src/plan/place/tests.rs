//! The search against all answers there are, on problems of its own.
