using Microsoft.SqlServer.TransactSql.ScriptDom;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage.SqlServer;

/// <summary>What SQL Server's own parser says of a text. A server is not at hand on every development machine; its parser is.</summary>
internal static class TSql
{
    // The columns of the tables that the scripts make, which a statement may name.
    private static readonly Lazy<Dictionary<string, HashSet<string>>> Tables = new(() =>
    {
        var tables = new Dictionary<string, HashSet<string>>(StringComparer.OrdinalIgnoreCase);
        Parse(string.Join("\nGO\n", Schema.Scripts(StorageEngine.SqlServer).Select(script => script.Script.Contents))).Accept(new CreatedTables(tables));
        return tables;
    });

    public static TSqlFragment Parse(string sql) => Parse(sql, out _);

    public static IEnumerable<string> ErrorsIn(string sql)
    {
        Parse(sql, out var faults);
        return faults.Select(fault => $"{fault.Line}:{fault.Column} {fault.Message}");
    }

    /// <summary>What some servers lack, and what is not used for another reason.</summary>
    public static List<string> ForbiddenIn(string sql)
    {
        var visitor = new ForbiddenConstructs();
        Parse(sql).Accept(visitor);
        return visitor.Found;
    }

    /// <summary>Columns and aliases that nothing in the text has.</summary>
    public static List<string> UnknownColumnsIn(string sql)
    {
        var script = Parse(sql);
        var sources = new Sources(Tables.Value);
        script.Accept(sources);
        var visitor = new UnknownColumns(sources.Found);
        script.Accept(visitor);
        return visitor.Found;
    }

    /// <summary>Variables that are neither declared in the text nor parameters of it.</summary>
    /// <param name="sql">The text.</param>
    /// <param name="parameters">Their declarations, as the driver sends them.</param>
    public static IEnumerable<string> UnknownVariablesIn(string sql, string parameters)
    {
        var visitor = new Variables();
        Parse(sql).Accept(visitor);
        return visitor.Used.Except(visitor.Declared.Concat(ParametersIn(parameters).Select(parameter => parameter.Name)), StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>Names and types in the declarations of parameters.</summary>
    public static IEnumerable<(string Name, string Type)> ParametersIn(string declarations) =>
        from declaration in declarations.Split(",@", StringSplitOptions.RemoveEmptyEntries)
        let parts = declaration.Trim().TrimStart('@').Split(' ')
        select ($"@{parts[0]}", parts[1]);

    public static Dictionary<string, string> QueriesIn(TSqlFragment script)
    {
        var visitor = new StoredQueries();
        script.Accept(visitor);
        return visitor.Found;
    }

    private static TSqlFragment Parse(string sql, out IList<ParseError> faults)
    {
        using var reader = new StringReader(sql);
        return new TSql160Parser(initialQuotedIdentifiers: true).Parse(reader, out faults);
    }

    private static HashSet<string> ColumnsOf(TableDefinition table) =>
        table.ColumnDefinitions.Select(column => column.ColumnIdentifier.Value).ToHashSet(StringComparer.OrdinalIgnoreCase);

    private sealed class CreatedTables(Dictionary<string, HashSet<string>> tables) : TSqlFragmentVisitor
    {
        public override void Visit(CreateTableStatement node) => tables[node.SchemaObjectName.BaseIdentifier.Value] = ColumnsOf(node.Definition);
    }

    private sealed class StoredQueries : TSqlFragmentVisitor
    {
        public Dictionary<string, string> Found { get; } = [];

        public override void Visit(InsertSpecification node)
        {
            if (node is { Target: NamedTableReference { SchemaObject.BaseIdentifier.Value: "OrleansQuery" }, InsertSource: ValuesInsertSource { RowValues: [{ ColumnValues: [StringLiteral key, StringLiteral text] }] } })
            {
                Found.Add(key.Value, text.Value);
            }
        }
    }

    private sealed class ForbiddenConstructs : TSqlFragmentVisitor
    {
        public List<string> Found { get; } = [];

        public override void Visit(MergeStatement node) => Add(node, "MERGE");

        public override void Visit(CreateOrAlterViewStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateOrAlterProcedureStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateOrAlterFunctionStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateOrAlterTriggerStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateTypeTableStatement node) => Add(node, "a table type");

        public override void Visit(AlterTableAlterColumnStatement node)
        {
            if (node.AlterTableAlterColumnOption == AlterTableAlterColumnOption.NotNull)
            {
                Add(node, "ALTER COLUMN ... NOT NULL");
            }
        }

        public override void Visit(TableHint node)
        {
            if (node.HintKind is TableHintKind.HoldLock or TableHintKind.XLock or TableHintKind.Serializable or TableHintKind.UpdLock)
            {
                Add(node, $"the lock hint {node.HintKind}");
            }
        }

        public override void Visit(DataModificationStatement node)
        {
            if (node is (UpdateStatement or DeleteStatement) and { WithCtesAndXmlNamespaces.CommonTableExpressions.Count: > 0 })
            {
                Add(node, "a change through a CTE");
            }
        }

        public override void Visit(DataModificationSpecification node) => node.AcceptChildren(new SeekOfTarget(this, node));

        public override void Visit(OpenJsonTableReference node) => Add(node, "OPENJSON");

        // The operators' view runs on their own time, and only where they ask for it.
        public override void ExplicitVisit(CreateViewStatement node)
        {
        }

        private void Add(TSqlFragment node, string construct) => Found.Add($"Line {node.StartLine}: {construct}");

        // The target is named by itself, or by its alias in FROM.
        private sealed class SeekOfTarget(ForbiddenConstructs forbidden, DataModificationSpecification change) : TSqlFragmentVisitor
        {
            private readonly string? target = (change.Target as NamedTableReference)?.SchemaObject.BaseIdentifier.Value;

            public override void Visit(NamedTableReference node)
            {
                if ((node == change.Target || node.Alias?.Value == target) && node.TableHints.Any(hint => hint is ForceSeekTableHint || hint.HintKind is TableHintKind.ForceSeek))
                {
                    forbidden.Add(node, "FORCESEEK on the target of a change");
                }
            }
        }
    }

    // By name and alias; null: whatever the server has.
    private sealed class Sources(Dictionary<string, HashSet<string>> tables) : TSqlFragmentVisitor
    {
        private readonly Dictionary<string, HashSet<string>> variables = new(StringComparer.OrdinalIgnoreCase);

        public Dictionary<string, HashSet<string>?> Found { get; } = new(StringComparer.OrdinalIgnoreCase);

        public override void Visit(DeclareTableVariableBody node)
        {
            variables[node.VariableName.Value] = ColumnsOf(node.Definition);
            Add(node.VariableName.Value, ColumnsOf(node.Definition));
        }

        public override void Visit(VariableTableReference node) => Add(node.Alias?.Value ?? node.Variable.Name, variables[node.Variable.Name]);

        public override void Visit(NamedTableReference node)
        {
            var name = node.SchemaObject.BaseIdentifier.Value;
            if (tables.TryGetValue(name, out var columns) || node.SchemaObject.SchemaIdentifier is not null)
            {
                Add(node.Alias?.Value ?? name, columns);
            }
        }

        public override void Visit(CreateTableStatement node) => Add(node.SchemaObjectName.BaseIdentifier.Value, ColumnsOf(node.Definition));

        public override void Visit(InlineDerivedTable node) => Add(node.Alias.Value, node.Columns.Select(column => column.Value));

        public override void Visit(QueryDerivedTable node) => Add(
            node.Alias.Value,
            ((QuerySpecification)node.QueryExpression).SelectElements.Cast<SelectScalarExpression>()
                .Select(element => element.ColumnName?.Value ?? ((ColumnReferenceExpression)element.Expression).MultiPartIdentifier.Identifiers[^1].Value));

        public override void Visit(OpenJsonTableReference node) => Add(node.Alias.Value, node.SchemaDeclarationItems.Select(item => item.ColumnDefinition.ColumnIdentifier.Value));

        private void Add(string name, IEnumerable<string>? columns)
        {
            if (columns is null)
            {
                Found[name] = null;
            }
            else if (!Found.TryGetValue(name, out var known))
            {
                Found.Add(name, columns.ToHashSet(StringComparer.OrdinalIgnoreCase));
            }
            else
            {
                known?.UnionWith(columns);
            }
        }
    }

    private sealed class UnknownColumns(Dictionary<string, HashSet<string>?> sources) : TSqlFragmentVisitor
    {
        private readonly HashSet<TSqlFragment> units = [];

        public List<string> Found { get; } = [];

        // DATEADD(SECOND, ...): the parser takes the unit for a column.
        public override void Visit(FunctionCall node)
        {
            if (node.FunctionName.Value.StartsWith("DATE", StringComparison.OrdinalIgnoreCase) && node.Parameters.Count > 0)
            {
                units.Add(node.Parameters[0]);
            }
        }

        public override void Visit(ColumnReferenceExpression node)
        {
            if (node.MultiPartIdentifier is { } name && !units.Contains(node) && !IsKnown([.. name.Identifiers.Select(part => part.Value)]))
            {
                Found.Add($"Line {node.StartLine}: {string.Join('.', name.Identifiers.Select(part => part.Value))}");
            }
        }

        private bool IsKnown(string[] name) => name switch
        {
            [var column] => sources.Values.Any(columns => columns?.Contains(column) is not false),
            [var source, var column] => sources.TryGetValue(source, out var columns) && columns?.Contains(column) is not false,
            _ => false,
        };
    }

    private sealed class Variables : TSqlFragmentVisitor
    {
        public HashSet<string> Used { get; } = new(StringComparer.OrdinalIgnoreCase);

        public List<string> Declared { get; } = [];

        public override void Visit(VariableReference node) => Used.Add(node.Name);

        // Left of the equals sign stands what the procedure calls it.
        public override void ExplicitVisit(ExecuteParameter node) => node.ParameterValue.Accept(this);

        public override void Visit(DeclareVariableElement node) => Declared.Add(node.VariableName.Value);

        public override void Visit(DeclareTableVariableBody node) => Declared.Add(node.VariableName.Value);
    }
}
