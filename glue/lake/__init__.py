"""What all jobs share: settings, arguments, days, files, partitions of the catalog, event tables, SQL."""
