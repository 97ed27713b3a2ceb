using System.Collections.Concurrent;
using System.Data;
using System.Data.Common;
using Microsoft.Data.SqlClient;

namespace Recognize.Orleans.Storage.SqlServer;

/// <summary>
/// A statement over a group, whose items are rows of parameters. A group is padded to one of a few sizes, and each size
/// has one text and one plan on the server.
/// </summary>
/// <param name="text">Makes the text of the statement around its rows.</param>
/// <param name="columns">The columns of a row. They follow <c>Item</c>, the number of the item in the group.</param>
internal sealed class SqlServerStatement<TItem>(Func<string, string> text, params SqlServerColumn<TItem>[] columns)
{
    private readonly ConcurrentDictionary<int, string> texts = [];

    public void AddTo(DbCommand command, IReadOnlyList<TItem> group)
    {
        var size = SqlServerGroups.SizeFor(group.Count);
        command.CommandText = texts.GetOrAdd(size, TextFor);
        for (var item = 0; item < size; item++)
        {
            foreach (var column in columns)
            {
                var value = item < group.Count ? column.Value(group[item]) : column.Padding;
                command.Parameters.Add(new SqlParameter(column.ParameterFor(item), column.Type, column.Size) { Value = value ?? DBNull.Value });
            }
        }
    }

    private string TextFor(int size)
    {
        var rows = Enumerable.Range(0, size).Select(item => $"({item}, {string.Join(", ", columns.Select(column => column.ParameterFor(item)))})");
        return text($"(VALUES\n    {string.Join(",\n    ", rows)}) AS given (Item, {string.Join(", ", columns.Select(column => column.Name))})");
    }
}

/// <summary>A column of a statement's rows.</summary>
/// <param name="Name">Its name in the statement.</param>
/// <param name="Letter">
/// The first letter of its parameters. Their names are short, because the server receives each name twice.
/// </param>
/// <param name="Type">The type, the same for every value.</param>
/// <param name="Size">The size, the same for every value; -1: the largest.</param>
/// <param name="Value">Gets the value of an item.</param>
internal sealed record SqlServerColumn<TItem>(string Name, char Letter, SqlDbType Type, int Size, Func<TItem, object?> Value)
{
    /// <summary>The value in rows that only pad the group.</summary>
    public object? Padding { get; init; }

    public string ParameterFor(int item) => $"@{Letter}{item}";
}

internal static class SqlServerGroups
{
    /// <summary>The sizes that groups are padded to.</summary>
    public static readonly IReadOnlyList<int> Sizes = [1, 4, 16, 64, 128];

    public static int SizeFor(int count) => Sizes.First(size => size >= count);
}
