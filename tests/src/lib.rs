//! waypool-tests
