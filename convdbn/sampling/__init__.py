"""Drawing from a machine: Gibbs sweeps, mean field, and exact enumeration of small machines."""
