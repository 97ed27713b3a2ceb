namespace Recognize.Orleans.Foundation;

/// <summary>The database that holds the grains.</summary>
internal enum StorageEngine
{
    /// <summary>A file beside the program; one silo only. The default.</summary>
    Sqlite,

    /// <summary>SQL Server 2016 or later, or Azure SQL.</summary>
    SqlServer,

    /// <summary>PostgreSQL 13 or later.</summary>
    PostgreSql,
}
