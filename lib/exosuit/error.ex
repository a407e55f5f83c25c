defmodule Exosuit.Error do
  @moduledoc """
  An error. Code matches `:reason`; people read `message/1`.

  The detail says what happened, where, and what would be right. It never contains a secret or a payload.

      iex> error = Exosuit.Error.new(:not_found, "no actor has the id shop")
      iex> error.reason
      :not_found
      iex> Exception.message(error)
      "not found: no actor has the id shop"

      iex> raise Exosuit.Error.new(:deadline, "5 s have passed")
      ** (Exosuit.Error) the call took too long: 5 s have passed
  """

  @typedoc "The kinds of errors, a fixed set. Those of a call are the codes of `exosuit_core`."
  @type reason ::
          :conflict
          | :deadline
          | :denied
          | :depth
          | :dropped
          | :expired_claims
          | :guest
          | :internal
          | :invalid_claims
          | :invalid_input
          | :invalid_link
          | :invalid_manifest
          | :invalid_module
          | :io
          | :limit
          | :missing_claim
          | :missing_link
          | :not_found
          | :overloaded
          | :provider
          | :trap
          | :unavailable
          | :unknown_operation
          | :unknown_target

  @type t :: %__MODULE__{reason: reason(), detail: String.t()}

  @enforce_keys [:reason, :detail]
  defexception [:reason, :detail]

  @doc "Returns an error of this kind. `detail` says what happened and what would be right."
  @spec new(reason(), String.t()) :: t()
  def new(reason, detail), do: %__MODULE__{reason: reason, detail: detail}

  @doc """
  Returns the error for the `{code, detail}` of a NIF.

      iex> Exosuit.Error.from_native({:deadline, "5 s have passed"}).reason
      :deadline
  """
  @spec from_native({reason(), String.t()}) :: t()
  def from_native({code, detail}), do: new(code, detail)

  @impl Exception
  def message(%__MODULE__{reason: reason, detail: detail}), do: "#{headline(reason)}: #{detail}"

  defp headline(:conflict), do: "a conflict"
  defp headline(:deadline), do: "the call took too long"
  defp headline(:denied), do: "not allowed"
  defp headline(:depth), do: "the calls are nested too deeply"
  defp headline(:dropped), do: "the call was dropped before it was answered"
  defp headline(:expired_claims), do: "the claims have expired"
  defp headline(:guest), do: "the guest answered with an error"
  defp headline(:internal), do: "an internal error of Exosuit"
  defp headline(:invalid_claims), do: "the claims are refused"
  defp headline(:invalid_input), do: "the input is not valid"
  defp headline(:invalid_link), do: "the link is not valid"
  defp headline(:invalid_manifest), do: "the manifest is not valid"
  defp headline(:invalid_module), do: "the module cannot run here"
  defp headline(:io), do: "a file or socket failed"
  defp headline(:limit), do: "a limit is reached"
  defp headline(:missing_claim), do: "the claims do not allow it"
  defp headline(:missing_link), do: "no link allows it"
  defp headline(:not_found), do: "not found"
  defp headline(:overloaded), do: "too many calls run and wait"
  defp headline(:provider), do: "the provider answered with an error"
  defp headline(:trap), do: "the guest trapped"
  defp headline(:unavailable), do: "not available now"
  defp headline(:unknown_operation), do: "there is no such operation"
  defp headline(:unknown_target), do: "there is no such target"
end
