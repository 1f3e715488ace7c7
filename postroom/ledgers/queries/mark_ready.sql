-- Nobody is left who does not see this ledger's name
update postroom.ledger_directory set ready = true where not ready
