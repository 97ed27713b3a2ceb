namespace Recognize.Orleans.Storage.Sqlite;

/// <summary>
/// The files of a SQLite database. Whoever reads them reads payloads, and whoever opens them can lock them, so they are
/// created for their owner only. Windows has no file modes; there the folder decides.
/// </summary>
internal static class SqliteFiles
{
    private const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    /// <summary>
    /// The target of a link, or the file itself. SQLite follows links, so one database is one file, whatever it is
    /// called.
    /// </summary>
    public static string TargetOf(string file) =>
        new FileInfo(file) is { LinkTarget: not null } link ? link.ResolveLinkTarget(returnFinalTarget: true)!.FullName : file;

    public static string LockOf(string target) => target + ".lock";

    /// <summary>
    /// Creates an empty database unless the file exists. SQLite itself would create it with mode 0644. Its log and
    /// index take the mode of the file.
    /// </summary>
    public static void CreateMissing(string file)
    {
        var target = TargetOf(file);

        // An existing file must not even be opened: closing it would drop the locks that SQLite holds in this process.
        if (File.Exists(target))
        {
            return;
        }

        try
        {
            Open(target, FileMode.CreateNew, FileShare.ReadWrite).Dispose();
        }
        catch (IOException) when (File.Exists(target))
        {
            // Another connection created it first.
        }
    }

    /// <summary>Opens a file. If it is created, only its owner has access.</summary>
    public static FileStream Open(string file, FileMode mode, FileShare share)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.ReadWrite, Share = share };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = Owner;
        }

        return new(file, options);
    }

    /// <summary>The files of a database that other users of this machine may read or write.</summary>
    public static IReadOnlyList<string> OpenToOthers(string file)
    {
        var target = TargetOf(file);
        string[] files = [target, $"{target}-wal", $"{target}-shm", LockOf(target)];
        return [.. files.Where(each => !OperatingSystem.IsWindows() && File.Exists(each) && (File.GetUnixFileMode(each) & Others) != UnixFileMode.None)];
    }
}
