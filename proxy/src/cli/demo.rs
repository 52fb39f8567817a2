//! `waypool demo`

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Stop after the tour
    #[arg(long)]
    exit: bool,
}

pub fn demo(_options: &Options) -> anyhow::Result<()> {
    Ok(())
}
