//! Nothing lives here: the tests prove that Exosuit and the crates of its peers agree.
