using System.Diagnostics.CodeAnalysis;

namespace Recognize.Orleans.Storage.Sqlite;

/// <summary>
/// The right of one process to use a SQLite file, because SQLite serves a single silo. The operating system releases
/// the lock when the process ends, however it ends.
/// </summary>
internal sealed class SqliteLock : IDisposable
{
    private const int WindowsSharingViolation = 32;
    private const int WindowsLockViolation = 33;
    private const int LinuxWouldBlock = 11;
    private const int MacWouldBlock = 35;

    private readonly FileStream held;

    private SqliteLock(FileStream held) => this.held = held;

    /// <summary>
    /// Takes the lock of a database file, whether or not the file exists yet. False if another process holds it.
    /// </summary>
    /// <exception cref="DirectoryNotFoundException">The folder of the database file does not exist.</exception>
    /// <exception cref="IOException">The lock file cannot be opened for a reason other than being held.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not write beside the database file.</exception>
    public static bool TryAcquire(string databaseFile, [NotNullWhen(true)] out SqliteLock? held)
    {
        var file = SqliteFiles.TargetOf(Path.GetFullPath(databaseFile));

        // A missing folder is a mistyped path or a volume that is not mounted. An empty database in a new folder would
        // look like lost data.
        if (!Directory.Exists(Path.GetDirectoryName(file)))
        {
            throw new DirectoryNotFoundException($"The folder {Path.GetDirectoryName(file)} does not exist: create it, or correct Data Source.");
        }

        try
        {
            held = new SqliteLock(SqliteFiles.Open(SqliteFiles.LockOf(file), FileMode.OpenOrCreate, FileShare.None));
            return true;
        }
        catch (IOException fault) when (IsHeldElsewhere(fault))
        {
            held = null;
            return false;
        }
    }

    // The file stays. Deleting it would let a second process lock a new file of that name while a third still waits on
    // the old one.
    public void Dispose() => held.Dispose();

    private static bool IsHeldElsewhere(IOException fault) =>
        (fault.HResult & 0xFFFF) is WindowsSharingViolation or WindowsLockViolation or LinuxWouldBlock or MacWouldBlock;
}
