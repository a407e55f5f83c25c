defmodule Exosuit.Environment.Variables do
  @moduledoc """
  Reads environment variables by the table of `exosuit_core` (`environment.rs`).

  The table has the kind of each variable; a variable that is not in it cannot be read. The warnings and refusals of a
  start, the table of `guides/release.md` and `exosuit up --help` come from the same table.

  A secret is read as the name of its variable, see `Exosuit.Secret`, and never as its text: supervisors keep and show
  options. Mistakes do not show a value that may be a secret.

  | set variable | effect |
  |---|---|
  | in the table, for a host or a release | its value, checked |
  | in the table, concerns safety and is not supported | refuses the start |
  | in the table, of other hosts | a warning with its replacement |
  | unknown, begins with `EXOSUIT_` or `WASMCLOUD_` | a warning with the nearest known name |
  | unknown, another beginning | none |
  """

  alias Exosuit.{Input, Native}

  @typedoc """
  The variables of the process, as `System.get_env/0` returns them. An empty value counts as not set.
  """
  @type env :: %{optional(String.t()) => String.t()}

  @typedoc """
  A value of another form, with the sentence for people. It takes the place of the value, so that a start can report all
  mistakes at once.
  """
  @type mistake :: {:mistake, String.t()}

  @levels ~w(debug info notice warning error critical alert emergency)
  # Log levels of other hosts that have another name in Exosuit.
  @other_levels %{"trace" => "debug", "warn" => "warning"}

  @true_words ~w(1 TRUE YES Y ON ENABLED ENABLE)
  @false_words ~w(0 FALSE NO N OFF DISABLED DISABLE)

  # The prefixes of our variables and wasmCloud's: an unknown name with one of them is probably misspelt.
  @prefixes ["EXOSUIT_", "WASMCLOUD_"]

  # Every host of the lattice can read labels, so a variable that looks like a secret makes no label.
  @secret ~r/PASS|PWD|SECRET|TOKEN|KEY|SEED|CRED|PRIVATE|JWT|AUTH/i

  @doc """
  The value of a variable, `nil` if it is not set, or a mistake. Raises if the variable is not in the table: that is a
  mistake in the code.

      iex> alias Exosuit.Environment.Variables
      iex> Variables.read(%{"EXOSUIT_UNSIGNED" => "allow"}, "EXOSUIT_UNSIGNED")
      :allow
      iex> Variables.read(%{"EXOSUIT_UNSIGNED" => "perhaps"}, "EXOSUIT_UNSIGNED")
      {:mistake, "expected EXOSUIT_UNSIGNED to be `allow` or `deny`, got: \\"perhaps\\""}
      iex> Variables.read(%{}, "EXOSUIT_UNSIGNED")
      nil
  """
  @spec read(env(), String.t()) :: term() | nil | mistake()
  def read(env, name) do
    {^name, role, kind, _doc} = Native.variable_find(name)
    true = role in [:host, :release]

    case Map.get(env, name, "") do
      "" -> nil
      text -> if String.valid?(text), do: parse(kind, name, text), else: mistake(name, "UTF-8")
    end
  end

  @doc "The value of the first of these variables that is set, or a mistake."
  @spec first(env(), [String.t()]) :: term() | nil | mistake()
  def first(env, names), do: Enum.find_value(names, &read(env, &1))

  @doc """
  The labels from the variables of both generations (`HOST_<NAME>` in lower case, `WASMCLOUD_LABEL_<NAME>` as it is), or
  a mistake. A variable that looks like a secret makes no label.

      iex> Exosuit.Environment.Variables.labels(%{"HOST_ZONE" => "eu", "HOST_API_TOKEN" => "x", "HOME" => "/"})
      %{"zone" => "eu"}
  """
  @spec labels(env()) :: %{optional(String.t()) => String.t()} | mistake()
  def labels(env) do
    Enum.reduce_while(env, %{}, fn {name, value}, labels ->
      cond do
        label(name) == nil -> {:cont, labels}
        String.valid?(name <> value) -> {:cont, Map.put(labels, label(name), value)}
        true -> {:halt, mistake(inspect(name), "UTF-8")}
      end
    end)
  end

  @doc """
  The variables that keep a host from starting: those that concern safety and are not supported.
  """
  @spec refusals(env()) :: [String.t()]
  def refusals(env) do
    for {name, _value} <- given(env), {_name, :refused, _kind, why} <- [find(name)] do
      "#{name} is set: #{why}; unset it to start without"
    end
  end

  @doc """
  Warnings about variables without effect, each with its replacement: variables of other hosts, unknown ones of
  Exosuit, and `more`, known ones that are not read here.
  """
  @spec warnings(env(), %{optional(String.t()) => String.t()}) :: [String.t()]
  def warnings(env, more \\ %{}) do
    Enum.flat_map(given(env), fn {name, _value} ->
      case {more[name], find(name)} do
        {nil, nil} -> unknown(name)
        {nil, {_row, :elsewhere, _kind, instead}} -> ["#{name} has no effect here: #{instead}"]
        {nil, {_row, :host, :label, _doc}} -> not_told(name)
        {nil, _read_or_refused} -> []
        {instead, _row} -> ["#{name} has no effect here: #{instead}"]
      end
    end)
  end

  @doc "The table of the variables that are read, as Markdown."
  @spec docs() :: String.t()
  def docs do
    rows =
      for {name, role, _kind, doc} <- Native.variables(), role in [:host, :release, :command] do
        "| `#{String.replace(name, "*", "<NAME>")}` | #{doc} |\n"
      end

    "| variable | meaning |\n|---|---|\n" <> Enum.join(rows)
  end

  # The set variables, sorted.
  defp given(env), do: Enum.sort(for {name, value} <- env, value != "", do: {name, value})

  defp find(name), do: if(String.valid?(name), do: Native.variable_find(name))

  defp unknown(name) do
    if String.starts_with?(name, @prefixes) and String.valid?(name) do
      nearest = Native.variable_nearest(name)
      ["#{name} is not known and has no effect#{nearest && "; did you mean #{nearest}?"}"]
    else
      []
    end
  end

  defp not_told(name) do
    if secret?(name),
      do: [
        "#{name} looks like a secret, and every host of the lattice can read labels: it makes no label"
      ],
      else: []
  end

  defp secret?(name), do: name =~ @secret

  # Variables HOST_<NAME> of the OTP era, and WASMCLOUD_LABEL_<NAME> of 1.x.
  defp label("HOST_CONFIG"), do: nil

  defp label("HOST_" <> name = variable) when name != "" do
    unless secret?(variable), do: String.downcase(name)
  end

  defp label("WASMCLOUD_LABEL_" <> name = variable) when name != "" do
    unless secret?(variable), do: name
  end

  defp label(_other), do: nil

  defp parse(:text, _name, text), do: text

  # Returns the place of the secret, in a form of `Exosuit.Secret`, because supervisors keep and show options.
  defp parse(:secret, name, _text), do: {:env, name}
  defp parse(:path, _name, text), do: Path.expand(text)
  defp parse(:paths, _name, text), do: text |> list(":") |> Enum.map(&Path.expand/1)
  defp parse(:list, _name, text), do: list(text, ",")
  defp parse(:seed, name, text), do: seed(name, text)
  defp parse(:unsigned, _name, "allow"), do: :allow
  defp parse(:unsigned, _name, "deny"), do: :deny
  defp parse(:unsigned, name, text), do: mistake(name, "`allow` or `deny`", text)
  defp parse(:links, _name, "lenient"), do: :lenient
  defp parse(:links, _name, "strict"), do: :strict
  defp parse(:links, name, text), do: mistake(name, "`lenient` or `strict`", text)
  defp parse(:labels, name, text), do: pairs(name, text)
  defp parse(:ports, name, text), do: ports(name, text)

  defp parse(:issuers, _name, "any"), do: :any
  defp parse(:issuers, name, text), do: issuers(name, list(text, ","))

  defp parse(:level, name, text) do
    level = Map.get(@other_levels, String.downcase(text), String.downcase(text))

    if level in @levels,
      do: String.to_existing_atom(level),
      else: mistake(name, "one of #{Enum.join(@levels, ", ")}", text)
  end

  defp parse(:flag, name, text) do
    word = String.upcase(text)

    cond do
      word in @true_words -> true
      word in @false_words -> false
      true -> mistake(name, "`true` or `false`", text)
    end
  end

  # All other kinds are numbers.
  defp parse(bound, name, text) do
    with {number, ""} <- Integer.parse(text), true <- Input.within?(bound, number) do
      number
    else
      _other -> mistake(name, Input.expectation(bound), text)
    end
  end

  # A key file holds the seed alone, or the output of `exosuit keys gen --json`.
  defp seed(name, text) do
    with false <- seed?(text),
         {:ok, content} <- File.read(text),
         true <- content =~ ~r/\bS[A-Z2-7]{57}\b/ do
      {:file, Path.expand(text)}
    else
      true ->
        {:env, name}

      {:error, reason} ->
        mistake(name, "a seed (`SC…`) or a file with one: #{:file.format_error(reason)}")

      false ->
        mistake(name, "a seed (`SC…`) or a file with one: the file has none")
    end
  end

  defp seed?(text), do: text =~ ~r/\AS[A-Z2-7]{57}\z/

  defp issuers(name, keys) do
    case Enum.find(keys, &(not (&1 =~ ~r/\AA[A-Z2-7]{55}\z/))) do
      nil -> keys
      wrong -> mistake(name, "account keys (`A…`) or `any`", head(wrong))
    end
  end

  # The value may be a seed, given in place of its public key, so only its beginning is shown.
  defp head(key) when byte_size(key) <= 4, do: key
  defp head(key), do: String.slice(key, 0, 4) <> "…"

  defp pairs(name, text) do
    pairs = for label <- list(text, ","), do: {label, String.split(label, "=", parts: 2)}

    case Enum.find(pairs, &(not match?({_label, [_key, _value]}, &1))) do
      nil -> for {_label, [key, value]} <- pairs, into: %{}, do: {key, value}
      {label, _parts} -> mistake(name, "`key=value` pairs, separated by commas", label)
    end
  end

  defp ports(name, text) do
    Enum.reduce_while(list(text, ","), %{}, fn pair, ports ->
      with [one, other] <- String.split(pair, "="),
           {one, ""} <- Integer.parse(one),
           {other, ""} <- Integer.parse(other),
           true <- Input.within?(:port, one) and Input.within?(:port, other) do
        {:cont, Map.put(ports, one, other)}
      else
        _wrong -> {:halt, mistake(name, "port pairs like `8080=9080`, separated by commas", pair)}
      end
    end)
  end

  defp list(text, separator) do
    text |> String.split(separator, trim: true) |> Enum.map(&String.trim/1)
  end

  defp mistake(name, expected, found) do
    {:mistake, "expected #{name} to be #{expected}, got: #{inspect(found)}"}
  end

  # The value may be a secret, so it is not shown.
  defp mistake(name, expected), do: {:mistake, "expected #{name} to be #{expected}"}
end
